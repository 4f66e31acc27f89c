//! Where a server's requests are answered.
//!
//! In a host of many there is one lane, on the threads that all containers share. A server in a process of its own has one for
//! each of its threads, with connections and instances of its own: all that a request needs is on one thread, and none wakes
//! another for it. The price is that one lane may have much to do while another has nothing: where guests compute for long,
//! the next request goes to the lane that has the fewest.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use http::Response;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use wasmtime::Engine;
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::handler::{ProxyHandler, Request, TrapOrPanicError};

use super::awake::Awake;
use super::instances::Instances;
use super::leash::Ticket;
use super::life::Place;
use crate::tenants::ticker;

pub(super) struct Lane {
    handler: ProxyHandler<Instances>,
    /// Where it is, if that is not wherever its caller is.
    thread: OnceLock<Thread>,
    /// The most requests at once.
    room: u32,
    requests: AtomicU32,
    connections: AtomicU32,
}

struct Thread {
    runtime: Handle,
    /// As the clock knows it.
    number: usize,
    awake: Option<Awake>,
}

impl Lane {
    /// With room for so many requests at once.
    pub fn new(instances: Instances, room: u32) -> Lane {
        let (handler, thread) = (ProxyHandler::new(instances), OnceLock::new());
        Lane { handler, thread, room, requests: AtomicU32::new(0), connections: AtomicU32::new(0) }
    }

    pub fn engine(&self) -> &Engine {
        self.handler.state().engine()
    }

    /// It is on this thread from here on, which `stays_awake` for clients that are about to ask.
    pub fn is_here(self: &Arc<Self>, runtime: &Handle, stays_awake: bool) {
        let (number, awake) = (ticker::this_thread(), stays_awake.then(Awake::default));
        // Set once: a server is started once.
        drop(self.thread.set(Thread { runtime: runtime.clone(), number, awake }));
        let lane = self.clone();
        runtime.spawn(async move {
            if let Some(awake) = lane.awake() {
                awake.stay(|| lane.requests() == 0).await;
            }
        });
    }

    /// The event loop of its own, if it has one.
    pub fn runtime(&self) -> Option<&Handle> {
        self.thread.get().map(|thread| &thread.runtime)
    }

    fn computes_for_long(&self) -> bool {
        self.thread.get().is_some_and(|thread| ticker::is_slow(thread.number))
    }

    fn requests(&self) -> u32 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Takes one more request if there is room for it.
    fn takes_one(&self) -> bool {
        let one_more = |requests| (requests < self.room).then_some(requests + 1);
        let before = self.requests.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        if let (Ok(before), Some(awake)) = (before, self.awake()) {
            awake.asked(before == 0);
        }
        before.is_ok()
    }

    fn awake(&self) -> Option<&Awake> {
        self.thread.get()?.awake.as_ref()
    }
}

/// All of a server's: at least one.
pub(super) struct Lanes {
    first: Arc<Lane>,
    others: Vec<Arc<Lane>>,
}

impl Lanes {
    /// So many, each made for its part of the instances, of which it has at least one.
    pub fn new(count: u32, instances: u32, lane: impl Fn(u32) -> Lane) -> Lanes {
        let count = count.clamp(1, instances.max(1));
        let lane = |number| Arc::new(lane(instances / count + u32::from(number < instances % count)));
        Lanes { first: lane(0), others: (1..count).map(lane).collect() }
    }

    /// The one on the thread that takes connections.
    pub fn first(&self) -> &Arc<Lane> {
        &self.first
    }

    pub fn others(&self) -> &[Arc<Lane>] {
        &self.others
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Lane>> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// Returns when none has an instance any more.
    pub async fn over(&self) {
        for lane in self.all() {
            lane.handler.state().over().await;
        }
    }

    /// A new connection goes to the lane that has the fewest.
    pub fn connect(&self) -> Connected {
        let fewest = self.all().min_by_key(|lane| lane.connections.load(Ordering::Relaxed));
        let lane = fewest.unwrap_or(&self.first).clone();
        lane.connections.fetch_add(1, Ordering::Relaxed);
        Connected(lane)
    }

    /// Where a request is answered that has come in `own` and has a `place` among all requests.
    pub fn seat(&self, own: &Arc<Lane>, place: Place) -> Seat {
        let seat = |lane: &Arc<Lane>| Seat { lane: lane.clone(), _place: place };
        if !own.computes_for_long() && own.takes_one() {
            return seat(own);
        }
        loop {
            let order =
                |lane: &&Arc<Lane>| (lane.requests() >= lane.room, lane.requests(), !Arc::ptr_eq(lane, own));
            // There are no more places than all lanes have room for: one has some as long as this one is held.
            if let Some(lane) = self.all().min_by_key(order).filter(|lane| lane.takes_one()) {
                return seat(lane);
            }
        }
    }
}

/// A connection in its lane, until it is dropped.
pub(super) struct Connected(Arc<Lane>);

impl Connected {
    pub fn lane(&self) -> &Arc<Lane> {
        &self.0
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request in its lane, until it is dropped.
pub(super) struct Seat {
    lane: Arc<Lane>,
    /// Given back after the room in the lane.
    _place: Place,
}

impl Seat {
    /// Has a guest answer a request that has come in `own`.
    pub async fn answer(
        &self,
        own: &Arc<Lane>,
        ticket: Arc<Ticket>,
        request: Request,
    ) -> Result<Response<WasiBody>, wasmtime::Error> {
        match self.lane.runtime().filter(|_| !Arc::ptr_eq(&self.lane, own)) {
            None => self.lane.handler.handle(ticket, request).await,
            Some(other) => {
                let lane = self.lane.clone();
                let mut answer = Task(other.spawn(async move { lane.handler.handle(ticket, request).await }));
                (&mut answer.0).await.unwrap_or_else(|_panic| Err(TrapOrPanicError.into()))
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let (1, Some(awake)) = (self.lane.requests.fetch_sub(1, Ordering::Relaxed), self.lane.awake()) {
            awake.answered();
        }
    }
}

/// A task that ends with whoever waits for it.
struct Task<T>(JoinHandle<T>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
