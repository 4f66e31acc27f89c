//! `poll_oneoff` without a clock that runs, or on a thread that others need while a guest sleeps.

use std::time::Duration;

use grants::{Clock, Grants, Profile};
use wasmtime::{Caller, Linker, Result};
use wasmtime_wasi::p1::{WasiP1Ctx, wasi_snapshot_preview1};
use wiggle::GuestMemory;

use super::super::deny;
use super::super::state::ModuleState;
use super::{PREVIEW1, SUCCESS, parts, put, slice, u32_at, u64_at};

/// Of a `subscription`: its size, where its tag is, and the tag of a clock.
const SUBSCRIPTION: usize = 48;
const TAG: usize = 8;
const CLOCK: u8 = 0;
/// Of a clock's subscription: where the time to wait for and the flags are.
const TIMEOUT: usize = 24;
const FLAGS: usize = 40;
const ABSOLUTE: u8 = 1;
/// The size of an `event`.
const EVENT: usize = 32;

/// The most subscriptions in one call.
const MOST: u32 = 4096;
/// `errno` of an invalid argument.
const INVALID: i32 = 28;

/// What a poll does with its subscriptions.
#[derive(Clone, Copy)]
struct Poll {
    /// Each is waited for alone, and all are ready: what is faster does not matter.
    all: bool,
}

pub(super) fn restrict(linker: &mut Linker<ModuleState>, grants: &Grants) -> Result<()> {
    let poll = Poll { all: grants.profile() == Profile::Strict };
    let denied = deny::waits_of_module(grants).map(|_| grants.clone());
    let runs = grants.clock() == Clock::Real;
    linker.func_wrap_async(
        PREVIEW1,
        "poll_oneoff",
        move |mut caller: Caller<'_, ModuleState>,
              (subscriptions, events, count, ready): (i32, i32, i32, i32)| {
            let denied = denied.as_ref().and_then(deny::waits_of_module);
            Box::new(async move {
                let (memory, state) = parts(&mut caller)?;
                let count = count.cast_unsigned();
                if count == 0 || count > MOST {
                    return Ok(INVALID);
                }
                let length = usize::try_from(count)? * SUBSCRIPTION;
                let mut wanted = slice(memory, subscriptions, length)?.to_vec();
                if let Some(denied) = denied
                    && wanted.chunks(SUBSCRIPTION).any(waits_for_a_clock)
                {
                    return Err(denied.into());
                }
                if runs {
                    sleep(&mut wanted).await;
                } else {
                    wanted.chunks_mut(SUBSCRIPTION).for_each(at_once);
                }
                match poll.run(&mut state.wasi, &wanted).await? {
                    Ok(happened) => {
                        slice(memory, events, happened.len())?.copy_from_slice(&happened);
                        let happened = u32::try_from(happened.len() / EVENT)?;
                        slice(memory, ready, 4)?.copy_from_slice(&happened.to_le_bytes());
                        Ok(SUCCESS)
                    }
                    Err(errno) => Ok(errno),
                }
            })
        },
    )?;
    Ok(())
}

fn waits_for_a_clock(subscription: &[u8]) -> bool {
    subscription.get(TAG) == Some(&CLOCK)
}

/// Waits here when there is nothing else to wait for than some time: the library would block the thread.
async fn sleep(wanted: &mut [u8]) {
    let relative = wanted.get(FLAGS).is_some_and(|flags| flags & ABSOLUTE == 0);
    if wanted.len() == SUBSCRIPTION && waits_for_a_clock(wanted) && relative {
        tokio::time::sleep(Duration::from_nanos(u64_at(wanted, TIMEOUT))).await;
        at_once(wanted);
    }
}

/// A wait for a clock that stands still ends when it begins.
fn at_once(subscription: &mut [u8]) {
    if waits_for_a_clock(subscription) {
        put(subscription, TIMEOUT, &[0; 8]);
        put(subscription, FLAGS, &[0; 2]);
    }
}

impl Poll {
    /// The events of the subscriptions, or an `errno`.
    async fn run(self, wasi: &mut WasiP1Ctx, subscriptions: &[u8]) -> Result<Result<Vec<u8>, i32>> {
        let at_a_time = if self.all { SUBSCRIPTION } else { subscriptions.len() };
        let mut happened = Vec::new();
        for some in subscriptions.chunks(at_a_time) {
            match wait(wasi, some).await? {
                Ok(events) => happened.extend(events),
                Err(errno) => return Ok(Err(errno)),
            }
        }
        Ok(Ok(happened))
    }
}

/// Wasmtime's own, in a memory of its own: the number of events, then the subscriptions, then the events.
async fn wait(wasi: &mut WasiP1Ctx, subscriptions: &[u8]) -> Result<Result<Vec<u8>, i32>> {
    let count = subscriptions.len() / SUBSCRIPTION;
    let events = 8 + subscriptions.len();
    let mut memory = vec![0; events + count * EVENT];
    put(&mut memory, 8, subscriptions);
    let errno = wasi_snapshot_preview1::poll_oneoff(
        wasi,
        &mut GuestMemory::Unshared(&mut memory),
        8,
        i32::try_from(events)?,
        i32::try_from(count)?,
        0,
    )
    .await?;
    if errno != SUCCESS {
        return Ok(Err(errno));
    }
    let happened = usize::try_from(u32_at(&memory, 0))?.min(count);
    Ok(Ok(memory.get(events..events + happened * EVENT).unwrap_or_default().to_vec()))
}
