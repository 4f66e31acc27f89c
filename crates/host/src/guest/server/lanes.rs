//! Where a server's requests are answered.
//!
//! A server has a lane for each thread that answers requests, with connections and instances of its own there: all that a request
//! needs is on one thread, and none wakes another for it. The price is that one lane may have much to do while another has nothing:
//! where guests compute for long, the next request goes to the lane that has the fewest.
//!
//! In a host of many, others' requests wait on that thread as well. There a container that keeps it for long at a time has its
//! requests answered in one more lane, on the threads on which commands run: for as long as it does, and a while.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use http::Response;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::handler::{ProxyHandler, Request, TrapOrPanicError};

use super::instances::Instances;
use super::leash::Ticket;
use super::life::Place;
use super::threads::{self, Thread};
use crate::tenants;

pub(super) struct Lane {
    handler: ProxyHandler<Instances>,
    home: Home,
    /// The most requests at once.
    room: u32,
    requests: AtomicU32,
    connections: AtomicU32,
}

/// Where it is.
enum Home {
    Thread(Arc<Thread>),
    Pool(Handle),
}

/// Where a server's lanes are: threads, of which there may be none where there is a pool of them.
pub(super) struct Homes {
    pub threads: Vec<Arc<Thread>>,
    pub pool: Option<Handle>,
}

impl Homes {
    /// In a host of many, for one of its servers on the thread of its caller.
    fn of_host() -> Homes {
        Homes { threads: threads::of_host().to_vec(), pool: Some(Handle::current()) }
    }
}

impl Lane {
    pub fn runtime(&self) -> &Handle {
        match &self.home {
            Home::Thread(thread) => thread.runtime(),
            Home::Pool(pool) => pool,
        }
    }

    fn thread(&self) -> Option<&Thread> {
        match &self.home {
            Home::Thread(thread) => Some(thread),
            Home::Pool(_) => None,
        }
    }

    fn requests(&self) -> u32 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Connections of this server and of all of its thread's.
    fn connections(&self) -> (u32, u32) {
        let all = self.thread().map_or(0, |thread| thread.connections().load(Ordering::Relaxed));
        (self.connections.load(Ordering::Relaxed), all)
    }

    /// Takes one more request if there is room for it.
    fn takes_one(&self, may_wait: bool) -> bool {
        let one_more = |requests| (requests < self.room).then_some(requests + 1);
        let takes = self.requests.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok();
        if let (true, Some(thread)) = (takes, self.thread()) {
            thread.asked(may_wait);
        }
        takes
    }
}

/// All of a server's: at least one. They are made when they are needed: an idle server has none.
pub(super) struct Lanes {
    make: Box<dyn Fn(u32) -> Instances + Send + Sync>,
    /// So many of them there may be, and so many requests an instance has at once.
    instances: u32,
    at_once: u32,
    /// Nobody who waits between two requests has this server's processor for it.
    may_wait: bool,
    all: OnceLock<All>,
}

struct All {
    first: Arc<Lane>,
    others: Vec<Arc<Lane>>,
    /// For requests that take long.
    slow: Option<Arc<Lane>>,
}

impl All {
    /// Those for requests that do not.
    fn quick(&self) -> impl Iterator<Item = &Arc<Lane>> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

impl Lanes {
    /// `make`s the instances of a lane that may have so many of them.
    pub fn new(
        instances: u32,
        at_once: u32,
        may_wait: bool,
        make: impl Fn(u32) -> Instances + Send + Sync + 'static,
    ) -> Lanes {
        Lanes { make: Box::new(make), instances: instances.max(1), at_once, may_wait, all: OnceLock::new() }
    }

    /// The most that there may be: each has an instance.
    pub fn most(&self) -> usize {
        usize::try_from(self.instances).unwrap_or(usize::MAX)
    }

    /// The server is at home there.
    pub fn start(&self, homes: Homes) {
        self.all.get_or_init(|| self.at(homes));
    }

    fn all(&self) -> &All {
        self.all.get_or_init(|| self.at(Homes::of_host()))
    }

    fn at(&self, Homes { mut threads, pool }: Homes) -> All {
        /// Servers that need fewer threads than there are take them in turn.
        static TURN: AtomicUsize = AtomicUsize::new(0);
        let count = threads.len().min(self.most());
        if count < threads.len() {
            let turn = TURN.fetch_add(1, Ordering::Relaxed) % threads.len();
            threads.rotate_left(turn);
        }
        let lane = |instances: u32, home| {
            Arc::new(Lane {
                handler: ProxyHandler::new((self.make)(instances)),
                home,
                room: instances.saturating_mul(self.at_once),
                requests: AtomicU32::new(0),
                connections: AtomicU32::new(0),
            })
        };
        let count = u32::try_from(count).unwrap_or(u32::MAX).max(1);
        let share = |number: u32| self.instances / count + u32::from(number < self.instances % count);
        let mut quick =
            (0..count).zip(threads).map(|(number, thread)| lane(share(number), Home::Thread(thread)));
        let first = quick.next();
        let others = quick.collect();
        let slow = pool.map(|pool| lane(self.instances, Home::Pool(pool)));
        // Without threads of their own, all requests are slow ones.
        let first = first
            .or_else(|| slow.clone())
            .unwrap_or_else(|| lane(self.instances, Home::Pool(Handle::current())));
        All { first, others, slow }
    }

    /// Returns when none has an instance any more.
    pub async fn over(&self) {
        let Some(all) = self.all.get() else { return };
        for lane in all.quick().chain(&all.slow) {
            lane.handler.state().over().await;
        }
    }

    /// A new connection goes to the lane that has the fewest.
    pub fn connect(&self) -> Connected {
        let all = self.all();
        let lane = all.quick().min_by_key(|lane| lane.connections()).unwrap_or(&all.first).clone();
        lane.connections.fetch_add(1, Ordering::Relaxed);
        if let Some(thread) = lane.thread() {
            thread.connections().fetch_add(1, Ordering::Relaxed);
        }
        Connected(lane)
    }

    /// Where a request is answered that has come in `own` and has a `place` among all requests.
    pub fn seat(&self, own: &Arc<Lane>, place: Place) -> Seat {
        let all = self.all();
        let seat = |lane: &Arc<Lane>| Seat { lane: lane.clone(), _place: place };
        if let Some(slow) = &all.slow
            && tenants::asked()
            && slow.takes_one(false)
        {
            return seat(slow);
        }
        let is_slow = own.thread().is_some_and(Thread::is_slow);
        if !is_slow && own.takes_one(self.may_wait) {
            return seat(own);
        }
        loop {
            let order =
                |lane: &&Arc<Lane>| (lane.requests() >= lane.room, lane.requests(), !Arc::ptr_eq(lane, own));
            // There are no more places than all lanes have room for: one has some as long as this one is held.
            if let Some(lane) = all.quick().min_by_key(order).filter(|lane| lane.takes_one(false)) {
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
        if let Some(thread) = self.0.thread() {
            thread.connections().fetch_sub(1, Ordering::Relaxed);
        }
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
        if Arc::ptr_eq(&self.lane, own) {
            return self.lane.handler.handle(ticket, request).await;
        }
        let lane = self.lane.clone();
        let mut answer =
            Task(self.lane.runtime().spawn(async move { lane.handler.handle(ticket, request).await }));
        (&mut answer.0).await.unwrap_or_else(|_panic| Err(TrapOrPanicError.into()))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.lane.requests.fetch_sub(1, Ordering::Relaxed);
        if let Some(thread) = self.lane.thread() {
            thread.answered();
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
