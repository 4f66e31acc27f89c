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
use std::time::Instant;

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

/// When this process began to work for others.
static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Since when each thread polls what it polls, in milliseconds from [`BEGIN`] plus one; 0 when it polls nothing.
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
    /// CPU time of this thread when it was last read, in nanoseconds; 0: never. It stands still while the thread does.
    static LAST: Cell<u64> = const { Cell::new(0) };
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

/// A poll that is under way.
struct Work {
    tenant: Arc<Tenant>,
    _charge: Charge,
    /// CPU time of this thread when it began, in nanoseconds.
    began: u64,
    /// At which tick.
    tick: u64,
    aside: Option<Aside>,
}

/// The tags of those for whom threads work go to `tags`.
pub(super) fn begin(tags: Tags) {
    // Set once: a process is one host.
    let _set_before = TAGS.set(tags);
    LazyLock::force(&BEGIN);
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
            let tenant =
                part(task.id()).read().unwrap_or_else(PoisonError::into_inner).get(&task.id()).cloned();
            if let Some(tenant) = tenant {
                enter(tenant);
            }
        })
        .on_after_task_poll(|_| leave())
        .on_task_terminate(|task| {
            uncharged(|| {
                drop(part(task.id()).write().unwrap_or_else(PoisonError::into_inner).remove(&task.id()))
            });
        });
}

/// Whom this thread works for.
pub(super) fn current() -> Option<Arc<Tenant>> {
    WORK.with_borrow(|work| work.as_ref().map(|work| work.tenant.clone()))
}

/// For how long this thread has worked in this poll, in nanoseconds of CPU.
pub(super) fn running() -> u64 {
    WORK.with_borrow(|work| work.as_ref().map_or(0, |work| cpu::of_this_thread().saturating_sub(work.began)))
}

/// Has the guest of this poll step aside, or stay there. Returns whether it may go on with its turn.
pub(super) fn step_aside() -> bool {
    if let Some(lasts) = WORK.with_borrow(|work| work.as_ref()?.aside.as_ref().map(Aside::lasts)) {
        return lasts;
    }
    let Some(aside) = Aside::step() else { return false };
    WORK.with_borrow_mut(|work| work.as_mut().map(|work| work.aside = Some(aside))).is_some()
}

/// Does something on behalf of a container outside of its tasks: to spawn the first of them.
pub(super) fn on_behalf_of<T>(tenant: Arc<Tenant>, act: impl FnOnce() -> T) -> T {
    // What this thread did before was for others.
    LAST.set(0);
    enter(tenant);
    let result = act();
    leave();
    result
}

fn enter(tenant: Arc<Tenant>) {
    if let Some(thread) = this_thread() {
        thread.tell(tenant.tag);
    }
    ticker::working();
    let charge = Charge::to(tenant.account.clone());
    // What the thread did since its last poll, to find this one, is this one's.
    let last = LAST.get();
    let began = if last == 0 { cpu::of_this_thread() } else { last };
    WORK.set(Some(Work { tenant, _charge: charge, began, tick: ticker::now(), aside: None }));
}

fn leave() {
    let Some(work) = WORK.take() else { return };
    work.tenant.end_if_exhausted();
    let now = cpu::of_this_thread();
    LAST.set(now);
    let took = now.saturating_sub(work.began);
    work.tenant.cpu.add(took);
    work.tenant.pace.note(work.tick, ticker::now(), took);
    ticker::idle();
    if let Some(thread) = this_thread() {
        thread.tell(0);
    }
}

/// The tag of the container whose poll has lasted longest, and for how many milliseconds.
pub(super) fn longest_poll() -> Option<(u32, u64)> {
    let now = milliseconds();
    let polls =
        SINCE.iter().map(|since| (since.tag.load(Ordering::Relaxed), since.when.load(Ordering::Relaxed)));
    let polls = polls.filter(|(_, since)| *since > 0);
    polls.map(|(tag, since)| (tag as u32, now.saturating_sub(since))).max_by_key(|(_, lasted)| *lasted)
}

fn milliseconds() -> u64 {
    u64::try_from(BEGIN.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
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
            since.when.store(if tag == 0 { 0 } else { milliseconds() }, Ordering::Relaxed);
        }
    }
}
