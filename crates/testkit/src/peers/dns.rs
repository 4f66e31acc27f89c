//! A name server that says what the test tells it to, one thing first and another later if need be, by UDP and by TCP.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};
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

/// How long a socket waits before the server looks whether it is to end.
const GLANCE: Duration = Duration::from_millis(100);

/// The answers to a name: each once, the last for ever.
type Answers = HashMap<(String, u16), VecDeque<Vec<IpAddr>>>;

/// The name server of a nest, at 127.0.0.1. As long as it lives the nest's `/etc/resolv.conf` names it.
#[derive(Debug)]
pub struct Dns<'a> {
    nest: &'a Nest,
    state: Arc<State>,
    serving: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    known: Mutex<Answers>,
    asked: Mutex<Vec<String>>,
    /// By UDP it says no more than that the answer is too long.
    truncates: AtomicBool,
    ended: AtomicBool,
}

impl<'a> Dns<'a> {
    pub fn start(nest: &'a Nest) -> Result<Self> {
        let (socket, listener) =
            nest.in_network(|| (UdpSocket::bind("127.0.0.1:53"), TcpListener::bind("127.0.0.1:53")))?;
        let (socket, listener) = (socket?, listener?);
        socket.set_read_timeout(Some(GLANCE))?;
        listener.set_nonblocking(true)?;
        let file = nest.folder().join("resolv.conf");
        fs::write(
            &file,
            "nameserver 127.0.0.1\nsearch corp.example\noptions ndots:2 timeout:2 attempts:2\n",
        )?;
        mount(nest, &file)?;
        let state = Arc::new(State::default());
        let (by_udp, by_tcp) = (state.clone(), state.clone());
        let serving = vec![
            std::thread::spawn(move || by_udp.serve_udp(&socket)),
            std::thread::spawn(move || by_tcp.serve_tcp(&listener)),
        ];
        Ok(Self { nest, state, serving })
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
        let mut known = lock(&self.state.known);
        for (kind, v4) in [(A, true), (AAAA, false)] {
            let of_kind = addresses.iter().copied().filter(|address| address.is_ipv4() == v4).collect();
            change(known.entry((name.to_owned(), kind)).or_default(), of_kind);
        }
        Ok(())
    }

    /// From now on, no answer fits into a datagram: who wants it has to ask again by TCP (RFC 7766, 5).
    pub fn truncates(&self) {
        self.state.truncates.store(true, Ordering::Relaxed);
    }

    /// The names that were asked for, in order.
    pub fn asked(&self) -> Vec<String> {
        lock(&self.state.asked).clone()
    }
}

impl State {
    fn goes_on(&self) -> bool {
        !self.ended.load(Ordering::Relaxed)
    }

    fn serve_udp(&self, socket: &UdpSocket) {
        let mut packet = [0; 1500];
        while self.goes_on() {
            let Ok((length, from)) = socket.recv_from(&mut packet) else { continue };
            let Some(question) = packet.get(..length).and_then(Question::parse) else { continue };
            let answer = match self.truncates.load(Ordering::Relaxed) {
                true => question.truncated(),
                false => self.answer(&question),
            };
            drop(socket.send_to(&answer, from));
        }
    }

    /// One connection after the other: there is one client at a time.
    fn serve_tcp(&self, listener: &TcpListener) {
        while self.goes_on() {
            match listener.accept() {
                // The client may hang up whenever it likes.
                Ok((stream, _)) => drop(self.converse(stream)),
                Err(_) => std::thread::sleep(GLANCE / 10),
            }
        }
    }

    /// Each message comes behind its length (RFC 1035, 4.2.2).
    fn converse(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(GLANCE * 20))?;
        while self.goes_on() {
            let mut length = [0; 2];
            stream.read_exact(&mut length)?;
            let mut packet = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut packet)?;
            let Some(question) = Question::parse(&packet) else { return Ok(()) };
            let answer = self.answer(&question);
            let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
            stream.write_all(&[&length.to_be_bytes(), answer.as_slice()].concat())?;
        }
        Ok(())
    }

    fn answer(&self, question: &Question) -> Vec<u8> {
        lock(&self.asked).push(question.name.clone());
        question.answer(&mut lock(&self.known))
    }
}

fn mount(nest: &Nest, file: &Path) -> Result<()> {
    let status = nest.command("mount").arg("--bind").arg(file).arg(RESOLV_CONF).status()?;
    ensure!(status.success(), "the nest cannot have a {RESOLV_CONF} of its own");
    Ok(())
}

impl Drop for Dns<'_> {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::Relaxed);
        let unmounted = self.nest.command("umount").arg(RESOLV_CONF).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("the nest keeps its {RESOLV_CONF}");
        }
        for serving in self.serving.drain(..) {
            if serving.join().is_err() {
                eprintln!("the name server of a nest panicked");
            }
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

    /// A response that says of itself that it is cut, and has nothing else.
    fn truncated(&self) -> Vec<u8> {
        let head: &[u8] = &[0x83, 0x80, 0, 1, 0, 0, 0, 0, 0, 0];
        [&self.id, head, &self.bytes].concat()
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
