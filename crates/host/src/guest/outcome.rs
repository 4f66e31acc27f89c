//! How a guest ended.

use std::time::Duration;

use wasmtime::{Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::Denials;
use super::deny::Denied;
use crate::memory::Exhausted;

const TIMED_OUT: u8 = 124;
const TRAPPED: u8 = 134;
const KILLED: u8 = 137;
const BROKEN: u8 = 139;

/// The end of a guest, in the terms of a container's exit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// 0 to 255: what the guest said; 124 for the time limit, 134 for a trap, 137 for the memory limit, 139 when the host failed it.
    pub code: u8,
    /// What to tell people when the guest did not end itself: the trap and its Wasm backtrace, the limit and its figure.
    /// It was written to the guest's stderr, too.
    pub reason: Option<String>,
    /// Whether the memory limit ended it.
    pub oom: bool,
}

impl Outcome {
    /// The guest ended itself. As everywhere in Unix only the low eight bits of a code count.
    pub(super) fn exit(code: i32) -> Self {
        Self { code: code.to_le_bytes()[0], reason: None, oom: false }
    }

    /// The host could not run the guest.
    pub(super) fn broken(reason: String) -> Self {
        Self { code: BROKEN, reason: Some(reason), oom: false }
    }

    /// The host would have to keep more for the guest than its memory limit allows.
    pub(crate) fn exhausted(exhausted: &Exhausted) -> Self {
        Self { code: KILLED, reason: Some(exhausted.to_string()), oom: true }
    }

    /// Somebody ended it, and knows why.
    pub(crate) fn killed() -> Self {
        Self { code: KILLED, reason: None, oom: false }
    }

    /// It ran longer than it may.
    pub(crate) fn timed_out(limit: Duration) -> Self {
        let reason =
            format!("timed out: it ran for the {limit:?} of `run.wasm/timeout`, or of this node's limit");
        Self { code: TIMED_OUT, reason: Some(reason), oom: false }
    }

    /// Whether the guest did what it may not, and its state may tell why.
    pub(super) fn is_trap(&self) -> bool {
        self.code == TRAPPED
    }

    /// Says one thing more in a line of its own, right below what happened: a long backtrace may be cut.
    pub(super) fn add(&mut self, line: &str) {
        let reason = self.reason.take().unwrap_or_default();
        self.reason = Some(match reason.split_once('\n') {
            Some((what, rest)) => format!("{what}\n{line}\n{rest}"),
            None => format!("{reason}\n{line}"),
        });
    }

    /// What a call into a guest that began with this `fuel` failed with. A denied call that ended it is one of `denials`.
    pub(super) fn from_error(error: &wasmtime::Error, fuel: Option<u64>, denials: &Denials) -> Self {
        if let Some(denied) = error.downcast_ref::<Denied>() {
            denials.note(denied.kind(), || denied.to_string());
        }
        if let Some(I32Exit(code)) = error.downcast_ref() {
            return Self::exit(*code);
        }
        let exhausted = error.downcast_ref::<Exhausted>();
        let what = match (error.downcast_ref(), fuel) {
            (Some(Trap::OutOfFuel), Some(units)) => format!("out of fuel ({units} units)"),
            _ => exhausted.map_or_else(|| error.root_cause().to_string(), ToString::to_string),
        };
        let reason = match error.downcast_ref::<WasmBacktrace>().map(backtrace) {
            Some(frames) if !frames.is_empty() => {
                format!("{what}\nWasm backtrace, innermost call first:\n{frames}")
            }
            _ => what,
        };
        let oom = exhausted.is_some();
        Self { code: if oom { KILLED } else { TRAPPED }, reason: Some(reason), oom }
    }
}

/// The frames alone: Wasmtime prints a headline above them.
fn backtrace(trace: &WasmBacktrace) -> String {
    let text = trace.to_string();
    text.split_once('\n').map(|(_, frames)| frames.trim_end().to_owned()).unwrap_or_default()
}
