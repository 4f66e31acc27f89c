//! A client of D-Bus, as small as its use: calls of systemd, on the system's message bus or on systemd's own socket. The
//! libraries for it bring a second asynchronous runtime or change how tokio is built, and both would weigh on every shim.

pub mod wire;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use wire::{ERROR, FIXED, METHOD_RETURN, Message, Method, SIGNAL, Writer, call, length_of_rest};

/// Where the system's bus listens, where there is one.
pub const SYSTEM: &str = "/run/dbus/system_bus_socket";

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

const BUS: Method<'static> = Method {
    destination: "org.freedesktop.DBus",
    path: "/org/freedesktop/DBus",
    interface: "org.freedesktop.DBus",
    member: "",
};

/// An error that a method answered: its D-Bus name and its text.
#[derive(Debug, thiserror::Error)]
#[error("{text} ({name})")]
pub struct Failed {
    pub name: String,
    pub text: String,
}

/// A connection.
#[derive(Debug)]
pub struct Bus {
    stream: UnixStream,
    serial: u32,
    /// Whether signals were asked for.
    listens: bool,
    /// Those that came while an answer was waited for.
    signals: Vec<Message>,
}

impl Bus {
    /// Connects to a message bus, as the user that this process runs as.
    pub async fn system(socket: &Path) -> Result<Bus> {
        let mut bus = Bus::peer(socket).await?;
        bus.call(&Method { member: "Hello", ..BUS }, "", Writer::default()).await?;
        Ok(bus)
    }

    /// Connects to a program itself, without a bus between: it reads no destination, knows no match rules, and may tell all its signals
    /// unasked.
    pub async fn peer(socket: &Path) -> Result<Bus> {
        let shown = socket.display();
        let stream = UnixStream::connect(socket);
        let stream = stream.await.with_context(|| format!("nobody answers at {shown}"))?;
        let mut bus = Bus { stream, serial: 0, listens: false, signals: Vec::new() };
        bus.authenticate().await.with_context(|| format!("{shown} does not let us in"))?;
        Ok(bus)
    }

    /// The user's number, as the kernel vouches for it, in hexadecimal digits of its decimal ones. `BEGIN` goes with it, as systemd's own
    /// clients have it: a systemd that reads it together with the first message lets that lie until another one comes.
    async fn authenticate(&mut self) -> Result<()> {
        let user = rustix::process::geteuid().as_raw().to_string();
        let user: String = user.bytes().map(|digit| format!("{digit:02x}")).collect();
        self.stream.write_all(format!("\0AUTH EXTERNAL {user}\r\nBEGIN\r\n").as_bytes()).await?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n") {
            ensure!(answer.len() < 512, "it answers at too great length");
            answer.push(tokio::time::timeout(PATIENCE, self.stream.read_u8()).await??);
        }
        let answer = String::from_utf8_lossy(&answer);
        ensure!(answer.starts_with("OK "), "it answers {:?}", answer.trim());
        Ok(())
    }

    /// Asks for the signals that fit a rule (D-Bus Specification, "Match Rules").
    pub async fn listen(&mut self, rule: &str) -> Result<()> {
        let mut body = Writer::default();
        body.string(rule);
        self.listens = true;
        self.call(&Method { member: "AddMatch", ..BUS }, "s", body).await.map(drop)
    }

    /// Calls a method and waits for its answer. An error that it answers is [`Failed`].
    pub async fn call(&mut self, method: &Method<'_>, signature: &str, body: Writer) -> Result<Message> {
        self.serial += 1;
        let message = call(self.serial, method, signature, body);
        self.stream.write_all(&message).await?;
        in_time(method.member, self.answer()).await
    }

    async fn answer(&mut self) -> Result<Message> {
        loop {
            let message = self.message().await?;
            match message.kind {
                SIGNAL if self.listens => self.signals.push(message),
                METHOD_RETURN if message.reply_to == Some(self.serial) => return Ok(message),
                ERROR if message.reply_to == Some(self.serial) => {
                    let text = message.body().string().unwrap_or_default();
                    bail!(Failed { name: message.error, text })
                }
                _ => {}
            }
        }
    }

    /// The next signal of that name.
    pub async fn signal(&mut self, member: &str) -> Result<Message> {
        loop {
            let message = match self.signals.pop() {
                Some(message) => message,
                None => in_time(member, self.message()).await?,
            };
            if message.kind == SIGNAL && message.member == member {
                return Ok(message);
            }
        }
    }

    async fn message(&mut self) -> Result<Message> {
        let mut fixed = [0; FIXED];
        self.stream.read_exact(&mut fixed).await?;
        let mut bytes = fixed.to_vec();
        bytes.resize(FIXED + length_of_rest(&fixed)?, 0);
        if let Some(rest) = bytes.get_mut(FIXED..) {
            self.stream.read_exact(rest).await?;
        }
        Message::read(&bytes)
    }
}

/// What is waited for, or an error that names it when [`PATIENCE`] has gone by.
async fn in_time(member: &str, waited_for: impl Future<Output = Result<Message>>) -> Result<Message> {
    let message = tokio::time::timeout(PATIENCE, waited_for).await;
    message.with_context(|| format!("{member} was not answered in {} s", PATIENCE.as_secs()))?
}
