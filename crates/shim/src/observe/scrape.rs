//! Where metrics are told, over HTTP: on a Unix socket of root's, and where the node's config names one, at an address.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};

use super::metrics::{self, Census};

/// Where the sockets are, one a shim.
const FOLDER: &str = "/run/run-wasm/metrics";

/// How long a client may take, and the most bytes that it may ask with.
const PATIENCE: Duration = Duration::from_secs(5);
const REQUEST: usize = 8 << 10;

/// Between two tries at an address that another manager has: one of a release before, that goes with its last pod.
const AGAIN: Duration = Duration::from_secs(2);

/// Says what there is at the moment of a scrape. Clones ask the same shim.
#[derive(Clone)]
pub struct Scrapes(Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Census> + Send>> + Send + Sync>);

impl Scrapes {
    /// Counts from here on.
    pub fn new<F>(census: impl Fn() -> F + Send + Sync + 'static) -> Scrapes
    where
        F: Future<Output = Census> + Send + 'static,
    {
        metrics::begin();
        Scrapes(Arc::new(move || Box::pin(census())))
    }

    /// Answers on the socket of the shim whose own has this name.
    pub fn on_socket(&self, name: &str) -> Result<()> {
        let place = place(name);
        // The folder is root's alone, and so is what is in it.
        DirBuilder::new().recursive(true).mode(0o700).create(FOLDER)?;
        // What a shim of this name has left that was killed.
        drop(fs::remove_file(&place));
        let listener =
            UnixListener::bind(&place).with_context(|| format!("cannot listen on {}", place.display()))?;
        fs::set_permissions(&place, PermissionsExt::from_mode(0o600))?;
        let scrapes = self.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                scrapes.begin(client);
            }
        });
        Ok(())
    }

    /// Answers at an address, as soon as nobody else does.
    pub fn at(&self, address: SocketAddr) {
        let scrapes = self.clone();
        tokio::spawn(async move {
            let Some(listener) = listen(address).await else { return };
            while let Ok((client, _)) = listener.accept().await {
                scrapes.begin(client);
            }
        });
    }

    fn begin(&self, client: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let scrapes = self.clone();
        // One who is slow, or talks nonsense, only harms itself.
        tokio::spawn(tokio::time::timeout(PATIENCE, async move {
            if let Err(error) = scrapes.answer(client).await {
                tracing::debug!(error = format!("{error:#}"), "metrics were not told");
            }
        }));
    }

    async fn answer(&self, mut client: impl AsyncRead + AsyncWrite + Unpin) -> Result<()> {
        let mut request = Vec::new();
        // Whatever is asked, the answer is the same.
        while !request.windows(4).any(|end| end == b"\r\n\r\n") {
            anyhow::ensure!(request.len() < REQUEST, "a request of more than {REQUEST} bytes");
            anyhow::ensure!(client.read_buf(&mut request).await? > 0, "half a request");
        }
        let text = metrics::begin().text((self.0)().await)?;
        let mut answer = String::new();
        write!(
            answer,
            "HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{text}",
            text.len()
        )?;
        client.write_all(answer.as_bytes()).await?;
        Ok(client.shutdown().await?)
    }
}

/// `None` for an address at which nobody can listen, which is said.
async fn listen(address: SocketAddr) -> Option<TcpListener> {
    let mut said = false;
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return Some(listener),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                if !said {
                    tracing::info!(%address, "metrics wait for their address (observe.metrics-address)");
                }
                said = true;
                tokio::time::sleep(AGAIN).await;
            }
            Err(error) => {
                tracing::warn!(%address, %error, "no metrics at that address (observe.metrics-address)");
                return None;
            }
        }
    }
}

/// The socket of the shim whose own has this name; short, as a socket's path may have 107 bytes.
fn place(name: &str) -> PathBuf {
    Path::new(FOLDER).join(format!("{}.sock", name.get(..16).unwrap_or(name)))
}

/// Takes the socket away, and the folder with the last one.
pub fn forget(name: &str) {
    if fs::remove_file(place(name)).is_ok() {
        // Fails while there are others.
        drop(fs::remove_dir(FOLDER));
    }
}
