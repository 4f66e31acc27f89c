//! What containerd writes to the stdin of `start`: nothing, a marshalled `Any` with runtime options (up to 2.2), or
//! `BootstrapParams` (from 2.3).

use containerd_shim_protos::bootstrap_api::{BootstrapParams, LogLevel};
use protobuf::well_known_types::any::Any;
use protobuf::{Enum as _, Message as _};

use crate::command_line::Invocation;
use crate::node_config;

/// What `start` learns beyond its command line.
#[derive(Debug, Default, PartialEq)]
pub struct Bootstrap {
    /// containerd's ttrpc address, a socket path: where events go.
    pub ttrpc_address: Option<String>,
    /// containerd's gRPC address, a socket path.
    pub grpc_address: Option<String>,
    pub debug: bool,
    /// Where the shim's socket belongs.
    pub socket_dir: Option<String>,
    /// The options of the runtime in containerd's config.
    pub options: Option<Any>,
}

/// Reads the bytes of stdin. Both message forms parse as either type, so only a match with the command line tells
/// that they are bootstrap parameters.
pub fn read(stdin: &[u8], invocation: &Invocation) -> Bootstrap {
    match BootstrapParams::parse_from_bytes(stdin) {
        Ok(params) if params.instance_id == invocation.id && params.namespace == invocation.namespace => {
            Bootstrap {
                ttrpc_address: path(&params.containerd_ttrpc_address),
                grpc_address: path(&params.containerd_grpc_address),
                debug: params.log_level.value() <= LogLevel::LOG_LEVEL_DEBUG.value(),
                socket_dir: params.socket_dir.filter(|dir| !dir.is_empty()),
                options: params
                    .extensions
                    .into_iter()
                    .filter_map(|extension| extension.value.into_option())
                    .find(node_config::are_options),
            }
        }
        _ => Bootstrap {
            options: Any::parse_from_bytes(stdin).ok().filter(node_config::are_options),
            ..Bootstrap::default()
        },
    }
}

fn path(address: &str) -> Option<String> {
    let path = address.strip_prefix("unix://").unwrap_or(address);
    (!path.is_empty()).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invocation() -> Invocation {
        Invocation::parse("-namespace ns -id box start".split(' ').map(str::to_owned)).unwrap()
    }

    #[test]
    fn parameters_of_2_3_are_told_by_id_and_namespace() {
        let params = BootstrapParams {
            instance_id: "box".into(),
            namespace: "ns".into(),
            containerd_ttrpc_address: "unix:///run/x.ttrpc".into(),
            log_level: LogLevel::LOG_LEVEL_DEBUG.into(),
            socket_dir: Some("/run/s".into()),
            ..Default::default()
        };
        let read = read(&params.write_to_bytes().unwrap(), &invocation());
        assert_eq!(read.ttrpc_address.as_deref(), Some("/run/x.ttrpc"));
        assert_eq!(read.socket_dir.as_deref(), Some("/run/s"));
        assert!(read.debug);
    }

    #[test]
    fn options_of_2_1_are_no_parameters_although_they_parse_as_such() {
        let options =
            Any { type_url: "runtimeoptions.v1.Options".into(), value: vec![8, 1], ..Default::default() };
        let read = read(&options.write_to_bytes().unwrap(), &invocation());
        assert_eq!(read, Bootstrap { options: Some(options), ..Bootstrap::default() });
    }

    #[test]
    fn nothing_and_garbage_are_nothing() {
        assert_eq!(read(b"", &invocation()), Bootstrap::default());
        assert_eq!(read(&[0xff; 40], &invocation()), Bootstrap::default());
    }
}
