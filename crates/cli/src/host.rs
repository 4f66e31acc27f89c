//! The process that runs a container, as the kernel shows it: threads, and sockets.

use std::collections::HashSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Serialize;

/// A thread.
#[derive(Debug, Serialize)]
pub struct Thread {
    pub id: u32,
    pub name: String,
    /// The kernel's letter: R runs, S sleeps, D waits for a disk, T is stopped.
    pub state: String,
    /// Clock ticks of CPU, the kernel's on its behalf included.
    pub cpu_ticks: u64,
    /// The function of the kernel in which it waits.
    pub waits_in: String,
}

/// A socket of the host's own network namespace.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Socket {
    pub transport: &'static str,
    pub local: SocketAddr,
    pub remote: SocketAddr,
    /// `listen`, `established` and so on; of UDP `unconnected` or `established`.
    pub state: &'static str,
}

/// `start` of field 22 of `/proc/PID/stat`, in the kernel's clock ticks; `None` for a process that is gone.
pub fn started(pid: u32) -> Option<u64> {
    fields(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?.get(19)?.parse().ok()
}

/// What follows the name in a `stat` file: the name may hold anything, parentheses included.
fn fields(stat: &str) -> Option<Vec<&str>> {
    Some(stat.rsplit_once(')')?.1.split_whitespace().collect())
}

/// The threads of a process; none of one that is gone.
pub fn threads(pid: u32) -> Vec<Thread> {
    let folders = entries(&format!("/proc/{pid}/task"));
    let mut threads: Vec<Thread> = folders.iter().filter_map(|folder| thread(folder)).collect();
    threads.sort_by_key(|thread| thread.id);
    threads
}

fn thread(folder: &Path) -> Option<Thread> {
    let read = |file: &str| fs::read_to_string(folder.join(file)).unwrap_or_default().trim().to_owned();
    let stat = read("stat");
    let fields = fields(&stat)?;
    let ticks = |field: usize| fields.get(field).and_then(|ticks| ticks.parse::<u64>().ok()).unwrap_or(0);
    Some(Thread {
        id: folder.file_name()?.to_str()?.parse().ok()?,
        name: read("comm"),
        state: (*fields.first()?).to_owned(),
        cpu_ticks: ticks(11) + ticks(12),
        waits_in: read("wchan"),
    })
}

/// The TCP and UDP sockets of a process. Those of containers that share a host are of other namespaces than its own and
/// are not among them.
pub fn sockets(pid: u32) -> Vec<Socket> {
    let links = entries(&format!("/proc/{pid}/fd")).into_iter().filter_map(|fd| fs::read_link(fd).ok());
    let own: HashSet<String> = links
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let mut sockets = Vec::new();
    for (transport, file) in [("tcp", "tcp"), ("tcp", "tcp6"), ("udp", "udp"), ("udp", "udp6")] {
        let table = fs::read_to_string(format!("/proc/{pid}/net/{file}")).unwrap_or_default();
        sockets.extend(table.lines().skip(1).filter_map(|line| socket(transport, line, &own)));
    }
    sockets
}

/// A line of `/proc/PID/net/tcp` and its like, when the socket is one of these.
fn socket(transport: &'static str, line: &str, own: &HashSet<String>) -> Option<Socket> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let field = |index: usize| fields.get(index).copied();
    own.contains(field(9)?).then_some(())?;
    let state = match (transport, field(3)?) {
        (_, "01") => "established",
        ("udp", _) => "unconnected",
        (_, "02") => "syn-sent",
        (_, "03") => "syn-received",
        (_, "06") => "time-wait",
        (_, "08") => "close-wait",
        (_, "0A") => "listen",
        _ => "closing",
    };
    Some(Socket { transport, local: address(field(1)?)?, remote: address(field(2)?)?, state })
}

/// An address as the kernel prints it: 32-bit words in the machine's order, a colon, the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let mut bytes = Vec::new();
    for word in address.as_bytes().chunks(8) {
        bytes.extend(u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?.to_ne_bytes());
    }
    let address = match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(bytes) => IpAddr::V4(Ipv4Addr::from(bytes)),
        Err(_) => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
    };
    Some(SocketAddr::new(address, u16::from_str_radix(port, 16).ok()?))
}

fn entries(folder: &str) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn the_sockets_of_this_process_are_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("[::1]:0").unwrap();
        let all = sockets(std::process::id());
        for (local, transport, state) in [
            (listener.local_addr().unwrap(), "tcp", "listen"),
            (udp.local_addr().unwrap(), "udp", "unconnected"),
        ] {
            let found = all.iter().find(|socket| socket.local == local).unwrap();
            assert_eq!((found.transport, found.state), (transport, state));
        }
    }

    #[test]
    fn the_threads_of_this_process_are_found() {
        let all = threads(std::process::id());
        assert!(all.iter().any(|thread| thread.id == std::process::id() && !thread.state.is_empty()));
    }

    #[test]
    fn the_start_of_a_process_is_read() {
        assert!(started(std::process::id()).is_some());
        assert_eq!(started(u32::MAX), None);
    }
}
