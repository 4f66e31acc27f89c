//! The shim's command line, in the form of Go's `flag` package that containerd writes:
//! `-namespace NS -address GRPC -publish-binary PATH -id ID [-bundle PATH] [-debug] start|delete`, or `-info`, or `-v`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

/// What this process is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Start,
    Delete,
    Info,
    Version,
}

/// One call of the binary by containerd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    pub action: Action,
    /// containerd's namespace.
    pub namespace: String,
    /// containerd's gRPC address, a socket path.
    pub address: String,
    /// The container's id.
    pub id: String,
    /// The bundle; the working directory, where it is not said.
    pub bundle: PathBuf,
    pub debug: bool,
}

impl Invocation {
    /// Reads the arguments after the program's name.
    pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Invocation> {
        let mut invocation = Invocation {
            action: Action::Start,
            namespace: String::new(),
            address: String::new(),
            id: String::new(),
            bundle: std::env::current_dir().context("cannot tell the working directory")?,
            debug: false,
        };
        let mut action = None;
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            let Some(flag) = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-')) else {
                action = Some(match arg.as_str() {
                    "start" => Action::Start,
                    "delete" => Action::Delete,
                    other => bail!("unknown action {other:?}: containerd calls `start` or `delete`"),
                });
                continue;
            };
            let (name, inline) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (flag, None),
            };
            let mut value = || {
                inline
                    .clone()
                    .or_else(|| args.next())
                    .with_context(|| format!("the flag -{name} needs a value"))
            };
            match name {
                "namespace" => invocation.namespace = value()?,
                "address" => invocation.address = value()?,
                "id" => invocation.id = value()?,
                "bundle" => invocation.bundle = value()?.into(),
                // The publisher is a fallback for shims without an event client; this one has one.
                "publish-binary" | "socket" => drop(value()?),
                "debug" => invocation.debug = inline.as_deref() != Some("false"),
                "info" => action = action.or(Some(Action::Info)),
                "v" | "version" => action = action.or(Some(Action::Version)),
                other => bail!("unknown flag -{other}"),
            }
        }
        invocation.action = action
            .context("no action: containerd calls this program with `start` or `delete`, people with -v")?;
        if matches!(invocation.action, Action::Start | Action::Delete) {
            check_name("-namespace", &invocation.namespace)?;
            check_name("-id", &invocation.id)?;
        }
        Ok(invocation)
    }
}

/// containerd's own rule for identifiers (`pkg/identifiers`), which keeps them fit for file names.
pub fn check_name(what: &str, name: &str) -> Result<()> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.len() > 76 || !name.chars().all(fits) || name.starts_with('.') {
        bail!(
            "{what} {name:?} is no containerd identifier: letters, digits, `.`, `_` and `-`, at most 76 of them"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Invocation> {
        Invocation::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn containerds_own_call_is_understood() {
        let call = parse(
            "-namespace k8s.io -address /run/c.sock -publish-binary /usr/bin/containerd -id a1 -debug start",
        );
        let call = call.unwrap();
        assert_eq!((call.action, call.namespace.as_str(), call.id.as_str()), (Action::Start, "k8s.io", "a1"));
        assert!(call.debug);
    }

    #[test]
    fn flags_may_be_written_with_two_dashes_and_an_equals_sign() {
        let call = parse("--namespace=ns --id=x --bundle=/b delete").unwrap();
        assert_eq!((call.action, call.bundle.to_str()), (Action::Delete, Some("/b")));
    }

    #[test]
    fn an_id_that_is_a_path_is_refused() {
        assert!(parse("-namespace ns -id ../x start").unwrap_err().to_string().contains("../x"));
        assert!(parse("-namespace .. -id x start").is_err());
    }

    #[test]
    fn a_bare_info_needs_no_id() {
        assert_eq!(parse("-info").unwrap().action, Action::Info);
    }

    #[test]
    fn an_unknown_flag_is_named() {
        assert!(parse("-bogus start").unwrap_err().to_string().contains("-bogus"));
    }
}
