//! For whom a thread is at work: known around each poll of each task, by the runtime's own hooks, so that no library
//! that makes a task of its own can hide from it.
//!
//! A task belongs to the container in whose poll it was spawned. While it is polled, this thread's heap is charged to the
//! container, its CPU time is counted for it, and its sockets are made for it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{BuildHasher as _, BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, OnceLock, PoisonError, RwLock};

use tokio::runtime::Builder;
use tokio::task::Id;

use super::aside::Aside;
use super::tags::{self, THREADS, Tags};
use super::{Tenant, cpu, ticker};
use crate::memory::heap::{Charge, uncharged};

/// The tasks of all containers, in parts: each poll looks into one of them.
static TASKS: LazyLock<[RwLock<Tasks>; PARTS]> = LazyLock::new(Default::default);

type Tasks = HashMap<Id, Arc<Tenant>, ByNumber>;
type ByNumber = BuildHasherDefault<Number>;

const PARTS: usize = 32;

/// Cache lines of the page of tags.
const LINES: usize = 64;

/// Since which tick each thread polls what it polls; 0 when it polls nothing.
static SINCE: [Since; THREADS] =
    [const { Since { when: AtomicU64::new(0), tag: AtomicU64::new(0) } }; THREADS];

/// On a cache line of its own: it is written with each poll.
#[repr(align(64))]
struct Since {
    when: AtomicU64,
    tag: AtomicU64,
}

static TAGS: OnceLock<Tags> = OnceLock::new();

thread_local! {
    static WORK: RefCell<Option<Work>> = const { RefCell::new(None) };
    static THREAD: Cell<Option<Thread>> = const { Cell::new(None) };
}

/// The hash of a task's number: they are consecutive, and nobody else's to choose.
#[derive(Default)]
struct Number(u64);

impl Hasher for Number {
    fn finish(&self) -> u64 {
        // Both ends of it are looked at.
        self.0.wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

/// The part in which a task is.
fn part(task: Id) -> &'static RwLock<Tasks> {
    let [first, ..] = &*TASKS;
    // The upper bits: a part's own table goes by the lower ones.
    let number = (ByNumber::default().hash_one(task) >> 32) as usize % PARTS;
    TASKS.get(number).unwrap_or(first)
}

/// This thread, as it tells others what it does.
#[derive(Clone, Copy)]
struct Thread {
    index: usize,
    number: u32,
}

/// Polls of one container in a row on this thread. What it is to be told of them all, it is told when another has its turn, when
/// the thread goes to sleep, and with each tick of the clock that has passed.
struct Work {
    tenant: Arc<Tenant>,
    charge: Charge,
    /// CPU time of this thread that the container knows of, in nanoseconds, at which tick that was, and how many polls there were
    /// since then.
    told: u64,
    tick: u64,
    polls: u64,
    /// The poll that is under way.
    poll: Option<Poll>,
}

struct Poll {
    /// At which tick it began.
    tick: u64,
    aside: Option<Aside>,
}

impl Work {
    fn begin(tenant: Arc<Tenant>, now: u64) -> Work {
        let charge = Charge::to(tenant.account.clone());
        Work { tenant, charge, told: now, tick: ticker::now(), polls: 0, poll: None }
    }

    fn begin_poll(&mut self) {
        let tick = ticker::now();
        if tick != self.tick {
            self.tell(tick);
        }
        self.charge.resume();
        self.polls += 1;
        self.poll = Some(Poll { tick, aside: None });
    }

    /// Returns whether it was the last one for now.
    fn end_poll(&mut self) -> bool {
        let Some(poll) = self.poll.take() else { return false };
        self.charge.suspend();
        self.tenant.end_if_exhausted();
        let tick = ticker::now();
        if tick != self.tick {
            // Ticks may be late, and the last of many polls need not be the one that took long.
            let polls = self.polls.max(1);
            let took = self.tell(tick);
            self.tenant.pace.note(poll.tick, tick, took / polls);
        }
        poll.aside.is_some()
    }

    /// Tells the container what this thread has worked for it. Returns how long that was.
    fn tell(&mut self, tick: u64) -> u64 {
        let now = cpu::of_this_thread();
        let took = now.saturating_sub(self.told);
        self.tenant.cpu.add(took);
        (self.told, self.tick, self.polls) = (now, tick, 0);
        took
    }
}

/// The tags of those for whom threads work go to `tags`.
pub(super) fn begin(tags: Tags) {
    // Set once: a process is one host.
    let _set_before = TAGS.set(tags);
}

/// Has a runtime's threads work for containers.
pub(super) fn hook(runtime: &mut Builder) {
    runtime
        .on_task_spawn(|task| {
            if let Some(tenant) = current() {
                uncharged(|| {
                    part(task.id()).write().unwrap_or_else(PoisonError::into_inner).insert(task.id(), tenant)
                });
            }
        })
        .on_before_task_poll(|task| {
            let tasks = part(task.id()).read().unwrap_or_else(PoisonError::into_inner);
            let tenant = tasks.get(&task.id());
            let goes_on = |work: &Option<Work>| {
                work.as_ref().zip(tenant).is_some_and(|(work, tenant)| Arc::ptr_eq(&work.tenant, tenant))
            };
            if WORK.with_borrow(goes_on) {
                drop(tasks);
                enter();
            } else {
                let tenant = tenant.cloned();
                drop(tasks);
                change(tenant);
            }
        })
        .on_after_task_poll(|_| leave())
        .on_thread_park(|| change(None))
        .on_task_terminate(|task| {
            uncharged(|| {
                drop(part(task.id()).write().unwrap_or_else(PoisonError::into_inner).remove(&task.id()))
            });
        });
}

/// Whom this thread works for.
pub(super) fn current() -> Option<Arc<Tenant>> {
    WORK.with_borrow(|work| work.as_ref().filter(|work| work.poll.is_some()).map(|work| work.tenant.clone()))
}

/// For how long this thread has worked for the container and has not told it, in nanoseconds of CPU.
pub(super) fn running() -> u64 {
    WORK.with_borrow(|work| work.as_ref().map_or(0, |work| cpu::of_this_thread().saturating_sub(work.told)))
}

/// Has the guest of this poll step aside, or stay there. Returns whether it may go on with its turn.
pub(super) fn step_aside() -> bool {
    let poll = |work: &Option<Work>| Some(work.as_ref()?.poll.as_ref()?.aside.as_ref()?.lasts());
    if let Some(lasts) = WORK.with_borrow(poll) {
        return lasts;
    }
    let Some(aside) = Aside::step() else { return false };
    WORK.with_borrow_mut(|work| work.as_mut()?.poll.as_mut().map(|poll| poll.aside = Some(aside))).is_some()
}

/// Does something on behalf of a container outside of its tasks: to spawn the first of them.
pub(super) fn on_behalf_of<T>(tenant: Arc<Tenant>, act: impl FnOnce() -> T) -> T {
    change(Some(tenant));
    let result = act();
    leave();
    change(None);
    result
}

/// Another container's turn, or nobody's.
fn change(tenant: Option<Arc<Tenant>>) {
    let before = WORK.take();
    if before.is_none() && tenant.is_none() {
        return;
    }
    let told = before.map(|mut work| {
        work.tell(ticker::now());
        work.told
    });
    if let Some(tenant) = tenant {
        // What the thread did since then, to find this one, is its own.
        let now = told.unwrap_or_else(cpu::of_this_thread);
        WORK.set(Some(Work::begin(tenant, now)));
        enter();
    }
}

/// A poll begins, of the container whose turn it is.
fn enter() {
    ticker::working();
    WORK.with_borrow_mut(|work| {
        let Some(work) = work else { return };
        if let Some(thread) = this_thread() {
            thread.tell(work.tenant.tag);
        }
        work.begin_poll();
    });
}

fn leave() {
    let Some(was_last) = WORK.with_borrow_mut(|work| {
        let work = work.as_mut().filter(|work| work.poll.is_some())?;
        Some(work.end_poll())
    }) else {
        return;
    };
    ticker::idle();
    if let Some(thread) = this_thread() {
        thread.tell(0);
    }
    if was_last {
        change(None);
    }
}

/// The tag of the container whose poll has lasted longest, and for how many ticks.
pub(super) fn longest_poll() -> Option<(u32, u64)> {
    let now = ticker::now();
    let polls =
        SINCE.iter().map(|since| (since.tag.load(Ordering::Relaxed), since.when.load(Ordering::Relaxed)));
    let polls = polls.filter(|(_, since)| *since > 0);
    polls.map(|(tag, since)| (tag as u32, now.saturating_sub(since))).max_by_key(|(_, lasted)| *lasted)
}

/// `None` for a thread beyond those that there is room for: it has no sockets.
fn this_thread() -> Option<Thread> {
    if let Some(thread) = THREAD.get() {
        return Some(thread);
    }
    let so_far = ticker::this_thread();
    if so_far >= THREADS {
        return None;
    }
    // Neighbours in time are no neighbours on the page of tags, where eight words share a cache line.
    let index = so_far % LINES * (THREADS / LINES) + so_far / LINES;
    let number = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
    let thread = Thread { index, number };
    THREAD.set(Some(thread));
    Some(thread)
}

impl Thread {
    fn tell(self, tag: u32) {
        if let Some(word) = TAGS.get().and_then(|tags| tags.word(self.index)) {
            word.store(tags::word(self.number, tag), Ordering::Release);
        }
        if let Some(since) = SINCE.get(self.index) {
            since.tag.store(tag.into(), Ordering::Relaxed);
            since.when.store(if tag == 0 { 0 } else { ticker::now() }, Ordering::Relaxed);
        }
    }
}
