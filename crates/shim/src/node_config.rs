//! The node's policy: from containerd's runtime options, else from `/etc/run-wasm/config.toml`, else the defaults.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context, Result};
use grants::Policy;
use protobuf::CodedInputStream;
use protobuf::rt::WireType;
use protobuf::well_known_types::any::Any;

/// Where an admin writes it.
const FILE: &str = "/etc/run-wasm/config.toml";

/// What containerd sends for every runtime type but runc's (`runtimeoptions.v1.Options`).
const OPTIONS: &str = "runtimeoptions.v1.Options";

/// `runtimeoptions.v1.Options` without its first field, a type name that says nothing here.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    config_path: String,
    config_body: Vec<u8>,
}

/// Reads the policy that applies to a task.
pub fn policy(options: Option<&Any>) -> Result<Policy> {
    let options = match options.filter(|any| are_options(any)) {
        Some(any) => parse(&any.value).context("containerd's runtime options are unreadable")?,
        None => Options::default(),
    };
    if !options.config_path.is_empty() {
        return file(Path::new(&options.config_path)).transpose().unwrap_or_else(|| {
            Err(anyhow::anyhow!("the node config {} does not exist", options.config_path))
        });
    }
    if !options.config_body.is_empty() {
        let text = std::str::from_utf8(&options.config_body).context("the runtime options are not UTF-8")?;
        return Policy::parse(text).context("the `options` of this runtime in containerd's config");
    }
    Ok(file(Path::new(FILE))?.unwrap_or_default())
}

/// Whether this is what containerd sends for runtimes such as this one.
pub fn are_options(any: &Any) -> bool {
    any.type_url.trim_start_matches("type.googleapis.com/") == OPTIONS
}

fn file(path: &Path) -> Result<Option<Policy>> {
    match fs::read_to_string(path) {
        Ok(text) => {
            Ok(Some(Policy::parse(&text).with_context(|| format!("the node config {}", path.display()))?))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read the node config {}", path.display())),
    }
}

fn parse(bytes: &[u8]) -> protobuf::Result<Options> {
    let mut options = Options::default();
    let mut input = CodedInputStream::from_bytes(bytes);
    while let Some(tag) = input.read_raw_tag_or_eof()? {
        match tag >> 3 {
            2 => options.config_path = input.read_string()?,
            3 => options.config_body = input.read_bytes()?,
            _ => {
                let kind = WireType::new(tag & 7).unwrap_or(WireType::LengthDelimited);
                input.skip_field(kind)?;
            }
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(field: u8, value: &[u8]) -> Any {
        let mut bytes = vec![field << 3 | 2, value.len() as u8];
        bytes.extend_from_slice(value);
        Any { type_url: OPTIONS.into(), value: bytes, ..Any::default() }
    }

    #[test]
    fn inline_options_are_the_policy() {
        let policy = policy(Some(&options(3, b"[limits]\nopen-files = 12\n"))).unwrap();
        assert_eq!(policy.limits.open_files, 12);
    }

    #[test]
    fn a_named_file_has_to_exist() {
        let error = policy(Some(&options(2, b"/nonexistent/run.toml"))).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/run.toml"), "{error:#}");
    }

    #[test]
    fn a_wrong_key_is_an_error_that_says_where() {
        let error = policy(Some(&options(3, b"limit = 1\n"))).unwrap_err();
        assert!(format!("{error:#}").contains("limit"), "{error:#}");
    }

    #[test]
    fn options_of_another_runtime_are_not_ours() {
        let any = Any { type_url: "containerd.runc.v1.Options".into(), value: vec![0xff], ..Any::default() };
        assert!(policy(Some(&any)).is_ok());
    }
}
