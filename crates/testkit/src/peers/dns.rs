//! A name server that says what the test tells it to, one thing first and another later if need be.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::net::{IpAddr, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::containerd::lock;
use crate::nest::Nest;

const RESOLV_CONF: &str = "/etc/resolv.conf";

const A: u16 = 1;
const AAAA: u16 = 28;

const NO_ERROR: u8 = 0;
const NO_SUCH_NAME: u8 = 3;

/// The answers to a name: each once, the last for ever.
type Answers = HashMap<(String, u16), VecDeque<Vec<IpAddr>>>;

/// The name server of a nest, at 127.0.0.1. As long as it lives the nest's `/etc/resolv.conf` names it.
#[derive(Debug)]
pub struct Dns<'a> {
    nest: &'a Nest,
    known: Arc<Mutex<Answers>>,
    asked: Arc<Mutex<Vec<String>>>,
    ended: Arc<AtomicBool>,
    serving: Option<JoinHandle<()>>,
}

impl<'a> Dns<'a> {
    pub fn start(nest: &'a Nest) -> Result<Self> {
        let socket = nest.in_network(|| UdpSocket::bind("127.0.0.1:53"))??;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let file = nest.folder().join("resolv.conf");
        fs::write(
            &file,
            "nameserver 127.0.0.1\nsearch corp.example\noptions ndots:2 timeout:2 attempts:2\n",
        )?;
        mount(nest, &file)?;
        let (known, asked): (Arc<Mutex<Answers>>, Arc<Mutex<Vec<String>>>) = Default::default();
        let ended = Arc::new(AtomicBool::new(false));
        let serving = std::thread::spawn({
            let (known, asked, ended) = (known.clone(), asked.clone(), ended.clone());
            move || {
                let mut packet = [0; 1500];
                while !ended.load(Ordering::Relaxed) {
                    let Ok((length, from)) = socket.recv_from(&mut packet) else { continue };
                    let Some(question) = packet.get(..length).and_then(Question::parse) else { continue };
                    lock(&asked).push(question.name.clone());
                    drop(socket.send_to(&question.answer(&mut lock(&known)), from));
                }
            }
        });
        Ok(Self { nest, known, asked, ended, serving: Some(serving) })
    }

    /// From now on, a name has these addresses.
    pub fn says(&self, name: &str, addresses: &[&str]) -> Result<()> {
        self.each(name, addresses, |answers, new| *answers = VecDeque::from([new]))
    }

    /// After what it says now has been asked for once, a name has these addresses: it is rebound.
    pub fn then(&self, name: &str, addresses: &[&str]) -> Result<()> {
        self.each(name, addresses, |answers, new| answers.push_back(new))
    }

    fn each(
        &self,
        name: &str,
        addresses: &[&str],
        change: impl Fn(&mut VecDeque<Vec<IpAddr>>, Vec<IpAddr>),
    ) -> Result<()> {
        let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
        let mut known = lock(&self.known);
        for (kind, v4) in [(A, true), (AAAA, false)] {
            let of_kind = addresses.iter().copied().filter(|address| address.is_ipv4() == v4).collect();
            change(known.entry((name.to_owned(), kind)).or_default(), of_kind);
        }
        Ok(())
    }

    /// The names that were asked for, in order.
    pub fn asked(&self) -> Vec<String> {
        lock(&self.asked).clone()
    }
}

fn mount(nest: &Nest, file: &Path) -> Result<()> {
    let status = nest.command("mount").arg("--bind").arg(file).arg(RESOLV_CONF).status()?;
    ensure!(status.success(), "the nest cannot have a {RESOLV_CONF} of its own");
    Ok(())
}

impl Drop for Dns<'_> {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let unmounted = self.nest.command("umount").arg(RESOLV_CONF).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("the nest keeps its {RESOLV_CONF}");
        }
        if self.serving.take().is_some_and(|serving| serving.join().is_err()) {
            eprintln!("the name server of a nest panicked");
        }
    }
}

/// The one question of a query (RFC 1035, 4.1.2).
struct Question {
    id: [u8; 2],
    name: String,
    kind: u16,
    /// As it was sent: a response repeats it.
    bytes: Vec<u8>,
}

impl Question {
    fn parse(packet: &[u8]) -> Option<Self> {
        let (header, mut rest) = packet.split_at_checked(12)?;
        let mut labels = Vec::new();
        let mut length = 0;
        loop {
            let (count, after) = rest.split_first()?;
            let (label, after) = after.split_at_checked(usize::from(*count))?;
            length += 1 + label.len();
            rest = after;
            if label.is_empty() {
                break;
            }
            labels.push(std::str::from_utf8(label).ok()?.to_ascii_lowercase());
        }
        let kind = u16::from_be_bytes(rest.first_chunk().copied()?);
        let bytes = packet.get(12..12 + length + 4)?.to_owned();
        Some(Self { id: header.first_chunk().copied()?, name: labels.join("."), kind, bytes })
    }

    fn answer(&self, known: &mut Answers) -> Vec<u8> {
        let (code, addresses) = match known.get_mut(&(self.name.clone(), self.kind)) {
            None => (NO_SUCH_NAME, Vec::new()),
            Some(answers) if answers.len() > 1 => (NO_ERROR, answers.pop_front().unwrap_or_default()),
            Some(answers) => (NO_ERROR, answers.front().cloned().unwrap_or_default()),
        };
        let count = u8::try_from(addresses.len()).unwrap_or(u8::MAX);
        let mut packet = Vec::from(self.id);
        // A response, with recursion desired and available; one question, `count` answers.
        packet.extend([0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0]);
        packet.extend(&self.bytes);
        for address in addresses {
            let bytes = match address {
                IpAddr::V4(v4) => v4.octets().to_vec(),
                IpAddr::V6(v6) => v6.octets().to_vec(),
            };
            // The name of the question, class IN, not to be kept for a second.
            packet.extend([0xc0, 12]);
            packet.extend(self.kind.to_be_bytes());
            packet.extend([0, 1, 0, 0, 0, 0, 0, bytes.len() as u8]);
            packet.extend(bytes);
        }
        packet
    }
}
