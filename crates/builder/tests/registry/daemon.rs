//! Real registries on ports of their own. They end with their owners.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use tempfile::TempDir;

pub struct Daemon {
    process: Child,
    _folder: TempDir,
    pub address: String,
}

impl Daemon {
    pub fn start() -> Daemon {
        Daemon::with("", "")
    }

    /// `http`: more keys of its server, such as `tls`; `more`: more sections of its configuration, such as `auth`.
    pub fn with(http: &str, more: &str) -> Daemon {
        let binaries = std::env::var_os("REGISTRY_BIN")
            .expect("REGISTRY_BIN names the folder of docker-registry (scripts/test.sh sets it)");
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config.yaml");
        let storage = folder.path().join("storage");
        fs::write(
            &config,
            format!(
                "version: 0.1\nlog: {{level: info, formatter: json}}\nhttp: {{addr: \"127.0.0.1:0\"{http}}}\nstorage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\n{more}\n",
                storage.display()
            ),
        )
        .unwrap();
        let mut process = Command::new(PathBuf::from(binaries).join("docker-registry"))
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("docker-registry starts");
        let address = listening(process.stderr.take().unwrap());
        Daemon { process, _folder: folder, address }
    }

    /// Another, in memory, that knows by itself who refers to what.
    pub fn with_referrers() -> Daemon {
        let mut process = Command::new(oci_tools().join("registry"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the registry starts");
        let mut address = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Daemon { process, _folder: tempfile::tempdir().unwrap(), address: address.trim().to_owned() }
    }
}

/// The folder of others' tools.
pub fn oci_tools() -> PathBuf {
    let folder = std::env::var_os("OCI_TOOLS_BIN");
    folder.expect("OCI_TOOLS_BIN names the folder of oras and a registry (scripts/test.sh sets it)").into()
}

/// Its address, by its log; which is read to its end, so that it never waits for us.
fn listening(log: impl std::io::Read + Send + 'static) -> String {
    let (found, address) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            if let Some((_, rest)) = line.split_once("listening on 127.0.0.1:") {
                let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
                drop(found.send(format!("127.0.0.1:{port}")));
            }
        }
    });
    address.recv_timeout(Duration::from_secs(30)).expect("docker-registry says where it listens")
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
