//! The instances of a server: made when a request finds none that is free, and dropped when they are used up, have
//! nothing to do, or have trapped.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::time::Sleep;
use wasmtime::component::GuestTaskId;
use wasmtime::{Result, Store, StoreContextMut};
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::handler::{
    HandlerState, Instance, Proxy, ProxyPre, ShouldAccept, WorkerExpiration, WorkerState, WorkerStatus,
};

use super::super::Outcome;
use super::super::limits::Meter;
use super::super::state::{self, ComponentState};
use super::super::stdio::Lines;
use super::super::wasi::{self, Wasi};
use super::counts::Counts;
use super::engine_of;
use super::leash::{Ear, End, Leash, Ticket};
use super::life::{Life, Place, Places};
use super::site::{Site, Use};

/// Makes them.
pub(super) struct Instances {
    proxy: Arc<ProxyPre<ComponentState>>,
    site: Arc<Site>,
    life: Arc<Life>,
    /// Of the lane, and of the server: those that wait between two requests in other lanes are asked for theirs.
    places: [Places; 2],
    used: Use,
    counts: Counts,
}

impl Instances {
    pub fn new(
        proxy: Arc<ProxyPre<ComponentState>>,
        site: Arc<Site>,
        life: Arc<Life>,
        places: [Places; 2],
        used: Use,
        counts: Counts,
    ) -> Instances {
        Instances { proxy, site, life, places, used, counts }
    }

    /// Returns when there is none any more.
    pub async fn over(&self) {
        let [of_lane, _] = &self.places;
        of_lane.all_free().await;
    }

    async fn place(&self) -> Option<[Place; 2]> {
        let [of_lane, of_server] = &self.places;
        let in_lane = of_lane.take().await?;
        if let Some(place) = of_server.try_take() {
            return Some([place, in_lane]);
        }
        self.life.make_room();
        Some([of_server.take().await?, in_lane])
    }

    fn store(&self) -> Result<Store<ComponentState>> {
        let Site { grants, client, gate, root, stdio, .. } = &*self.site;
        let mut wasi = wasi::context(grants, gate, stdio);
        // Whole lines: others write there, too.
        wasi.stdout(Lines::new(stdio.output.clone())).stderr(Lines::new(stdio.error.clone()));
        let meter = Meter::of_one_of_many(grants.profile());
        let wasi = Wasi { context: wasi, root: root.clone() };
        state::component(engine_of(&self.proxy), grants, client.clone(), gate.clone(), wasi, stdio, meter)
    }
}

/// The server was ended while one of its instances began.
#[derive(Debug, thiserror::Error)]
#[error("the server has ended")]
struct Ended;

impl HandlerState for Instances {
    type StoreData = ComponentState;
    type WorkerExpiration = Watch;
    type WorkerState = Worker;

    async fn instantiate(&self) -> Result<Instance<ComponentState, Watch, Worker>> {
        let places = self.place().await.ok_or(Ended)?;
        let (number, leash) = self.life.leash();
        self.counts.instance_began();
        let state = Worker {
            site: self.site.clone(),
            life: self.life.clone(),
            used: self.used,
            counts: self.counts.clone(),
            number,
            leash: leash.clone(),
            _places: places,
        };
        let mut store = self.store()?;
        let begin =
            tokio::time::timeout(self.site.grants.http().timeout, self.proxy.instantiate_async(&mut store));
        let proxy: Proxy = tokio::select! {
            biased;
            () = self.life.killed() => return Err(Ended.into()),
            proxy = begin => proxy.map_err(|_| wasmtime::Error::msg("the instance took too long to begin"))??,
        };
        let after = self.site.grants.http().timeout;
        Ok(Instance {
            store,
            proxy,
            view: ComponentState::http,
            expiration: Watch { leash, after, timer: None },
            state,
        })
    }
}

/// Ends an instance when its leash says so.
pub(super) struct Watch {
    leash: Arc<Leash>,
    after: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl WorkerExpiration for Watch {
    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        status: WorkerStatus,
        since: Instant,
    ) -> Poll<()> {
        loop {
            let Some(end) = self.leash.end(status, since, self.after, context.waker()) else {
                return Poll::Pending;
            };
            let (now, moment) = (Instant::now(), end.moment());
            if moment > now {
                let timer =
                    self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(moment.into())));
                // One that goes off too early is set anew then: the end moves on with each request.
                if timer.deadline() > moment.into() || timer.deadline() <= now.into() {
                    timer.as_mut().reset(moment.into());
                }
                ready!(timer.as_mut().poll(context));
            } else if let End::At(_) = end {
                self.leash.expire();
                return Poll::Ready(());
            }
        }
    }
}

/// What is known of one instance.
pub(super) struct Worker {
    site: Arc<Site>,
    life: Arc<Life>,
    used: Use,
    counts: Counts,
    number: u64,
    leash: Arc<Leash>,
    _places: [Place; 2],
}

impl WorkerState for Worker {
    type StoreData = ComponentState;
    type RequestData = Arc<Ticket>;

    fn should_accept_request(&self, at_once: usize, so_far: usize) -> ShouldAccept {
        let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        if so_far >= count(self.used.requests) {
            ShouldAccept::Never
        } else if at_once >= count(self.used.at_once) {
            ShouldAccept::No
        } else {
            ShouldAccept::Yes
        }
    }

    fn on_request_start(
        &self,
        _: StoreContextMut<'_, ComponentState>,
        ticket: Arc<Ticket>,
        _: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        ticket.take(self.leash.clone());
        Box::pin(Ear::of(ticket).hear())
    }

    fn drop(&self, mut store: Store<ComponentState>, result: Result<()>) {
        let Err(error) = result else { return };
        self.leash.fail();
        if self.leash.has_expired() {
            return;
        }
        self.counts.failed();
        let site = self.site.clone();
        let mut outcome = Outcome::from_error(&error, None, &site.denials);
        match &site.dump {
            None => site.report(&outcome),
            Some(_) => drop(tokio::spawn(async move {
                if let Some(dump) = &site.dump {
                    dump.after(&mut outcome, &error, &mut store).await;
                }
                site.report(&outcome);
            })),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.life.give_back(self.number);
        self.counts.instance_ended();
    }
}

impl Site {
    /// Tells on the container's stderr how an instance ended.
    pub(super) fn report(&self, outcome: &Outcome) {
        if let Some(reason) = &outcome.reason {
            self.stdio.note(reason);
        }
    }
}
