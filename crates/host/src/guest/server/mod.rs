//! A component that serves HTTP: from its listener to its last answer.
//!
//! The listener is made by the shim and handed over, connections are hyper's, instances are those of
//! `wasmtime_wasi_http`'s handler. An idle server is a listener and linked code: it has no instance and no store.
//! Everything is bounded: connections, requests at once, those that wait, heads, bodies, and each wait for the other side.

mod access;
mod admission;
mod answer;
mod awake;
mod connection;
mod counts;
mod exchange;
mod handle;
mod instances;
mod lanes;
mod leash;
mod life;
mod question;
mod refusal;
mod site;
mod stream;
mod tally;
mod threads;
mod timer;
mod traces;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use grants::{Grants, Profile};
use tokio::runtime::Runtime;
use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime_wasi_http::handler::ProxyPre;
use wasmtime_wasi_http::p2::bindings::ProxyPre as PreP2;
use wasmtime_wasi_http::p3::bindings::ServicePre as PreP3;

use super::export::Release;
use super::interfaces::{self, PROVIDED};
use super::state::ComponentState;
use super::{Outcome, PrepareError};
use crate::engine::Flavour;
pub use handle::Handle;
use site::Server;
pub(super) use site::Site;

/// A server that is linked, for any container with the same code and the same kinds of grants.
#[derive(Clone)]
pub(super) struct Linked {
    proxy: Arc<ProxyPre<ComponentState>>,
    release: Release,
}

impl Linked {
    pub fn new(
        component: &Component,
        flavour: Flavour,
        release: Release,
        grants: &Grants,
    ) -> Result<Linked, PrepareError> {
        if grants.profile() == Profile::Strict {
            return Err(PrepareError::ServesInStrict);
        }
        if flavour != Flavour::serving(flavour.build) {
            return Err(PrepareError::Stale("it serves, and was compiled for a command".to_owned()));
        }
        let linked =
            interfaces::linker(component, grants).and_then(|linker| linker.instantiate_pre(component));
        let proxy = linked.and_then(|linked| match release {
            Release::P2 => PreP2::new(linked).map(ProxyPre::P2),
            Release::P3 => PreP3::new(linked).map(ProxyPre::P3),
        });
        let proxy = proxy.map_err(|error| PrepareError::import(&error, PROVIDED))?;
        Ok(Linked { proxy: Arc::new(proxy), release })
    }
}

fn engine_of(proxy: &ProxyPre<ComponentState>) -> &Engine {
    match proxy {
        ProxyPre::P2(proxy) => proxy.engine(),
        ProxyPre::P3(proxy) => proxy.engine(),
    }
}

/// A server that waits for its listener.
pub(super) struct Prepared(Arc<Server>);

impl Prepared {
    pub fn new(linked: Linked, site: Site, handle: Handle) -> Prepared {
        Prepared(Server::new(linked, site, handle))
    }

    /// What outlives a server whose future was dropped, for a moment.
    pub fn remains(&self) -> Remains {
        Remains(self.0.clone())
    }

    /// The event loop of this thread, for a server that has a process to itself; its other threads run from here on.
    pub fn runtime(&self) -> io::Result<Runtime> {
        threads::start(&self.0)
    }

    /// Serves until it is asked to come to its end.
    pub async fn run(self, listener: Option<OwnedFd>) -> Outcome {
        let Some(listener) = listener else {
            return Outcome::broken("the server was started without a listener".to_owned());
        };
        let end = connection::listen(&self.0, listener).await;
        self.0.traces.tell();
        match end {
            Ok(()) => Outcome::exit(0),
            Err(error) => Outcome::broken(format!("the server cannot listen any more: {error}")),
        }
    }
}

/// The tasks of a server: its connections and its instances.
pub(crate) struct Remains(Arc<Server>);

impl Remains {
    /// Ends them, and returns when they are gone.
    pub(crate) async fn end(self) {
        self.0.life.kill();
        self.0.over().await;
    }
}
