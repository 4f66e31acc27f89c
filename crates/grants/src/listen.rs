//! The ports on which a guest may wait for others. None unless the pod declares them.

use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Transport;
use crate::error::shown;
use crate::text::as_text;

/// One port: `8080/tcp`. Parses and prints so; `/tcp` may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Port {
    pub number: NonZeroU16,
    pub transport: Transport,
}

/// The declared ports of a container, in the order of declaration, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Listen {
    ports: Vec<Port>,
}

impl Listen {
    pub(crate) fn new(ports: impl IntoIterator<Item = Port>) -> Self {
        let mut unique = Vec::new();
        for port in ports {
            if !unique.contains(&port) {
                unique.push(port);
            }
        }
        Self { ports: unique }
    }

    /// Whether the guest may bind `port` to be reached by others. Port 0 (any free one) is none of the declared.
    pub fn allows(&self, port: u16, transport: Transport) -> bool {
        self.ports.iter().any(|own| own.number.get() == port && own.transport == transport)
    }

    /// What would allow a guest to listen on a port that is not declared.
    pub fn cure(&self, port: u16, transport: Transport) -> String {
        match port {
            0 => "no grant allows it: whoever is to be reached needs a port that is declared".to_owned(),
            port => {
                format!("run.wasm/listen: \"{port}/{transport}\" allows it, and so does `ports` of the pod")
            }
        }
    }

    /// Whether the guest may listen nowhere.
    pub fn is_closed(&self) -> bool {
        self.ports.is_empty()
    }

    pub fn ports(&self) -> &[Port] {
        &self.ports
    }
}

impl FromStr for Port {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (number, transport) = text.split_once('/').unwrap_or((text, "tcp"));
        let transport = match transport.to_ascii_lowercase().as_str() {
            "tcp" => Transport::Tcp,
            "udp" => Transport::Udp,
            other => return Err(format!("`{}` is no transport; there are tcp and udp", shown(other))),
        };
        match port_number(number) {
            Some(number) => Ok(Self { number, transport }),
            None => Err(format!("`{}` is no port; ports are 1 to 65535, such as `8080/tcp`", shown(number))),
        }
    }
}

/// A port in digits alone.
pub(crate) fn port_number(text: &str) -> Option<NonZeroU16> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.transport)
    }
}

as_text!(Port);

/// The ports that kubelet writes into `io.kubernetes.container.ports`: a JSON list of the container's `ports`.
pub(crate) fn from_kubelet(json: &str) -> Result<Vec<Port>, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct ContainerPort {
        container_port: NonZeroU16,
        #[serde(default)]
        protocol: String,
    }
    let declared: Option<Vec<ContainerPort>> = serde_json::from_str(json)
        .map_err(|error| format!("is not the list that kubelet writes ({error})"))?;
    let port = |declared: ContainerPort| {
        let transport = match declared.protocol.as_str() {
            "" | "TCP" => Transport::Tcp,
            "UDP" => Transport::Udp,
            other => {
                return Err(format!(
                    "port {} has protocol `{}`; Wasm guests have TCP and UDP",
                    declared.container_port,
                    shown(other)
                ));
            }
        };
        Ok(Port { number: declared.container_port, transport })
    };
    declared.unwrap_or_default().into_iter().map(port).collect()
}
