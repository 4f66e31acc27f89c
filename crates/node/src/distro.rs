//! The distributions of Kubernetes, as far as their containerd differs. Each fact's source is in docs/install.md.

use std::fmt;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Whose containerd it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Distro {
    /// A containerd of a package, as kubeadm and most clouds have it.
    Plain,
    /// A node of kind: a plain containerd in a container with systemd.
    Kind,
    K3s,
    Rke2,
    K0s,
    Microk8s,
}

/// How a distribution lets its containerd be configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The file is the admin's.
    File,
    /// The file is rendered from a Go template at each start; templates and drop-ins lie beside it.
    Rendered,
    /// The file is the distribution's as long as a line of it says so; drop-ins are merged by it.
    Managed,
}

impl Distro {
    pub const ALL: [Distro; 6] =
        [Distro::Microk8s, Distro::K3s, Distro::Rke2, Distro::K0s, Distro::Kind, Distro::Plain];

    pub fn way(self) -> Way {
        match self {
            Distro::Plain | Distro::Kind | Distro::Microk8s => Way::File,
            Distro::K3s | Distro::Rke2 => Way::Rendered,
            Distro::K0s => Way::Managed,
        }
    }

    /// What only this distribution has.
    pub fn mark(self) -> &'static Path {
        Path::new(match self {
            Distro::Plain => "/",
            Distro::Kind => "/kind",
            Distro::K3s => "/var/lib/rancher/k3s/agent/etc/containerd",
            Distro::Rke2 => "/var/lib/rancher/rke2/agent/etc/containerd",
            Distro::K0s => "/var/lib/k0s/bin",
            Distro::Microk8s => "/var/snap/microk8s/current/args",
        })
    }

    /// The config that containerd reads, or that it is rendered from.
    pub fn config(self) -> PathBuf {
        match self {
            Distro::Plain | Distro::Kind => "/etc/containerd/config.toml".into(),
            Distro::K3s | Distro::Rke2 => self.mark().join("config.toml"),
            Distro::K0s => "/etc/k0s/containerd.toml".into(),
            Distro::Microk8s => self.mark().join("containerd-template.toml"),
        }
    }

    /// Where drop-ins go.
    pub fn drop_ins(self) -> &'static Path {
        Path::new(match self {
            Distro::K0s => "/etc/k0s/containerd.d",
            _ => "/etc/containerd/conf.d",
        })
    }

    pub fn socket(self) -> &'static Path {
        Path::new(match self {
            Distro::Plain | Distro::Kind => "/run/containerd/containerd.sock",
            Distro::K3s | Distro::Rke2 => "/run/k3s/containerd/containerd.sock",
            Distro::K0s => "/run/k0s/containerd.sock",
            Distro::Microk8s => "/var/snap/microk8s/common/run/containerd.sock",
        })
    }

    /// The units of systemd of which a node has one.
    pub fn units(self) -> &'static [&'static str] {
        match self {
            Distro::Plain | Distro::Kind => &["containerd.service"],
            Distro::K3s => &["k3s.service", "k3s-agent.service"],
            Distro::Rke2 => &["rke2-server.service", "rke2-agent.service"],
            Distro::K0s => &["k0sworker.service", "k0scontroller.service"],
            Distro::Microk8s => &["snap.microk8s.daemon-containerd.service"],
        }
    }

    /// Where the program may lie. microk8s' needs the environment of its snap.
    pub fn programs(self) -> &'static [&'static str] {
        match self {
            Distro::Plain | Distro::Kind => {
                &["/usr/bin/containerd", "/usr/local/bin/containerd", "/bin/containerd"]
            }
            Distro::K3s => &["/var/lib/rancher/k3s/data/current/bin/containerd"],
            Distro::Rke2 => &["/var/lib/rancher/rke2/bin/containerd"],
            Distro::K0s => &["/var/lib/k0s/bin/containerd"],
            Distro::Microk8s => &[],
        }
    }
}

impl fmt::Display for Distro {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Distro::Plain => "plain",
            Distro::Kind => "kind",
            Distro::K3s => "k3s",
            Distro::Rke2 => "rke2",
            Distro::K0s => "k0s",
            Distro::Microk8s => "microk8s",
        })
    }
}
