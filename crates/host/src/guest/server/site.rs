//! What all requests of a server have in common.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use grants::Grants;
use wasmtime::Engine;

use super::super::Denials;
use super::super::coredump::Dump;
use super::super::export::Release;
use super::super::http::Client;
use super::super::network::Gate;
use super::super::root::Root;
use super::super::stdio::Stdio;
use super::admission::Admission;
use super::counts::Counts;
use super::handle::Handle;
use super::instances::Instances;
use super::lanes::Lanes;
use super::life::{Life, Places};
use super::traces::Traces;
use super::{Linked, engine_of};

/// Requests of one instance, and how many of them at once, when the pod says nothing: guests of WASI 0.2 are made for one
/// request, those of 0.3 for many.
const REUSE: [(Release, u32, u32); 2] = [(Release::P2, 1, 1), (Release::P3, 128, 16)];

/// What an idle connection may take of the container's memory, and which part of that all of them may have.
const CONNECTION: u64 = 16 * 1024;
const PART: u64 = 2;
const FEWEST_CONNECTIONS: u64 = 64;
const MOST_CONNECTIONS: u64 = 16 * 1024;

/// Where its guests live.
pub(in crate::guest) struct Site {
    pub grants: Grants,
    pub client: Client,
    pub gate: Arc<Gate>,
    pub root: Option<Root>,
    pub stdio: Stdio,
    pub denials: Denials,
    pub dump: Option<Dump>,
}

/// How often an instance is used.
#[derive(Debug, Clone, Copy)]
pub(super) struct Use {
    pub requests: u32,
    pub at_once: u32,
}

impl Use {
    fn of(grants: &Grants, release: Release) -> Use {
        let own = REUSE.into_iter().find(|(of, ..)| *of == release);
        let (requests, at_once) = own.map_or((1, 1), |(_, requests, at_once)| (requests, at_once));
        let http = grants.http();
        let requests = http.reuse.map_or(requests, NonZeroU32::get);
        let at_once = http.concurrency.map_or(at_once, NonZeroU32::get);
        Use { requests, at_once: at_once.min(requests) }
    }
}

/// A server.
pub(super) struct Server {
    pub engine: Engine,
    pub lanes: Lanes,
    pub admission: Admission,
    pub life: Arc<Life>,
    pub site: Arc<Site>,
    pub counts: Counts,
    pub traces: Traces,
}

impl Server {
    pub fn new(linked: Linked, site: Site, handle: Handle) -> Arc<Server> {
        let Handle { drain, counts, traces } = handle;
        let (http, site) = (*site.grants.http(), Arc::new(site));
        let used = Use::of(&site.grants, linked.release);
        let instances = http.max_instances.get();
        let life = Arc::new(Life::new(drain, connections(&site.grants)));
        let engine = engine_of(&linked.proxy).clone();
        // A quota is there to be answered with.
        let may_wait = site.grants.cpu().quota.is_none();
        let lanes = Lanes::new(instances, used.at_once, may_wait, {
            let (site, life, counts) = (site.clone(), life.clone(), counts.clone());
            let (proxy, all) = (linked.proxy, Places::new(instances));
            move |share| {
                let places = [Places::new(share), all.clone()];
                Instances::new(proxy.clone(), site.clone(), life.clone(), places, used, counts.clone())
            }
        });
        let admission = Admission::new(instances.saturating_mul(used.at_once), http.timeout);
        Arc::new(Server { engine, lanes, admission, life, site, counts, traces })
    }

    /// Returns when there is neither a connection nor an instance any more.
    pub async fn over(&self) {
        self.life.connections.all_free().await;
        self.lanes.over().await;
    }

    /// How long either side may let the other wait.
    pub fn patience(&self) -> Duration {
        self.site.grants.http().timeout
    }
}

/// How many connections there may be at once.
fn connections(grants: &Grants) -> u32 {
    let by_memory = grants.memory_limit().map_or(u64::MAX, |limit| limit / PART / CONNECTION);
    let by_files = grants.open_files() / PART;
    let most = by_memory.min(by_files).clamp(FEWEST_CONNECTIONS, MOST_CONNECTIONS);
    u32::try_from(most).unwrap_or(u32::MAX)
}
