//! A connection that HTTP is spoken on, one request after the other or, by HTTP/2, many at a time.

use std::sync::Arc;

use hyper::client::conn::{http1, http2};
use tokio::sync::OwnedSemaphorePermit;
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, spawn};
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::{Error, WasiBody};

use super::super::tasks::Tasks;
use super::connection::Connection;
use super::errors;

/// The most that a response's head may have, in bytes; HTTP/1.1 reads bodies in pieces of at most this size.
const HEAD: u32 = 64 * 1024;

/// What a server may send by HTTP/2 before the guest has read it, in bytes.
const WINDOW: u32 = 128 * 1024;

/// What a guest may send by HTTP/2 before the server has taken it, in bytes.
const UNSENT: usize = 64 * 1024;

pub(super) enum Sender {
    Http1(http1::SendRequest<WasiBody>),
    Http2(http2::SendRequest<WasiBody>),
}

/// The connection ends with the last of its links.
pub(super) struct Link {
    sender: Sender,
    alive: Arc<Alive>,
}

/// What moves the bytes of a connection, and the place that it takes.
struct Alive {
    _driver: AbortOnDropJoinHandle<()>,
    _place: OwnedSemaphorePermit,
}

impl Link {
    /// Begins to speak HTTP on a connection.
    pub async fn new(connection: Connection, place: OwnedSemaphorePermit) -> Result<Link, Error> {
        let stream = TokioIo::new(connection.stream);
        // How a connection ends is heard by whoever waits for a response.
        let (sender, driver) = match connection.http2 {
            false => {
                let mut builder = http1::Builder::new();
                let begun = builder.max_buf_size(HEAD as usize).handshake(stream).await;
                let (sender, driver) = begun.map_err(errors::of_hyper)?;
                (Sender::Http1(sender), spawn(async move { drop(driver.await) }))
            }
            true => {
                let mut builder = http2::Builder::new(Tasks);
                let begun = builder
                    .max_header_list_size(HEAD)
                    .initial_stream_window_size(WINDOW)
                    .initial_connection_window_size(WINDOW)
                    .max_send_buf_size(UNSENT)
                    .handshake(stream)
                    .await;
                let (sender, driver) = begun.map_err(errors::of_hyper)?;
                (Sender::Http2(sender), spawn(async move { drop(driver.await) }))
            }
        };
        Ok(Link { sender, alive: Arc::new(Alive { _driver: driver, _place: place }) })
    }

    pub fn sender(&mut self) -> &mut Sender {
        &mut self.sender
    }

    /// Another link by the same connection, where it bears several requests at a time.
    pub fn share(&self) -> Option<Link> {
        match &self.sender {
            Sender::Http1(_) => None,
            Sender::Http2(sender) => {
                Some(Link { sender: Sender::Http2(sender.clone()), alive: self.alive.clone() })
            }
        }
    }

    /// Whether others have links by the same connection.
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.alive) > 1
    }

    /// Whether it would take a request now.
    pub fn is_ready(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => sender.is_ready(),
            Sender::Http2(sender) => sender.is_ready(),
        }
    }

    pub fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => sender.is_closed(),
            Sender::Http2(sender) => sender.is_closed(),
        }
    }
}
