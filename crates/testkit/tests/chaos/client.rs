//! A client with some containers of its own, and what it knows of each.

use anyhow::{Context, Result};
use serde_json::json;
use testkit::{Caller, Crowd, Dice, Member, State, until};

use crate::ledger::{Answer, Ledger};

/// Containers of one client at a time.
const SLOTS: u64 = 4;

const TERM: u32 = 15;
const KILL: u32 = 9;

/// Codes that a task may end with: by itself, by a signal, by a fault of its host, unknown to a containerd that was away.
const CODES: [u32; 5] = [0, 137, 143, 139, 255];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Empty,
    Created,
    Running,
    Paused,
    /// Told to end, or ended by itself.
    Ending,
    /// A call was answered under a fault.
    Unsure,
}

struct Slot {
    /// What its containers are called, up to their number: an id is not used twice, as containerd takes its time to clear away
    /// what a dead shim has left under it.
    name: String,
    number: u64,
    member: Member,
    known: Known,
    /// It sleeps for so long that it never ends by itself.
    lasting: bool,
    /// When it was created, in the ledger's epochs.
    born: u64,
}

pub struct Client<'a> {
    crowd: &'a Crowd<'a>,
    caller: Caller,
    ledger: &'a Ledger,
    dice: Dice,
    slots: Vec<Slot>,
    execs: u64,
}

impl<'a> Client<'a> {
    pub fn new(crowd: &'a Crowd<'a>, ledger: &'a Ledger, seed: u64, number: u64) -> Result<Client<'a>> {
        let slot = |slot: u64| {
            let lasting = !slot.is_multiple_of(SLOTS);
            let seconds = if lasting { "3600" } else { "0.05" };
            let user = if slot.is_multiple_of(2) { 1001 } else { 1002 };
            let name = format!("chaos-{number}-{slot}");
            let member = Member::new(format!("{name}-0")).user(user).args([seconds]);
            Slot { name, number: 0, member, known: Known::Empty, lasting, born: 0 }
        };
        let slots = (0..SLOTS).map(slot).collect();
        Ok(Client { crowd, caller: crowd.caller()?, ledger, dice: Dice::new(seed, number), slots, execs: 0 })
    }

    /// One call on one of its containers.
    pub fn call(&mut self) -> Result<()> {
        let which = usize::try_from(self.dice.throw(SLOTS))?;
        let choice = self.dice.throw(14);
        self.execs += 1;
        let exec = format!("exec-{}", self.execs);
        let Client { crowd, caller, ledger, slots, .. } = self;
        let slot = slots.get_mut(which).context("no such slot")?;
        if slot.known == Known::Unsure {
            return resolve(caller, ledger, slot);
        }
        let epoch = ledger.epoch();
        if choice <= 3 && slot.known == Known::Empty {
            slot.number += 1;
            slot.member = slot.member.clone().named(format!("{}-{}", slot.name, slot.number));
        }
        let id = slot.member.id().to_owned();
        let (call, result, right) = match choice {
            0..=3 => {
                let result = crowd.create(caller, &slot.member);
                slot.born = if slot.known == Known::Empty { epoch } else { slot.born };
                ("create", result, right(slot.known == Known::Empty))
            }
            4 | 5 => (
                "start",
                caller.start(&id),
                match slot.known {
                    Known::Created => Some(true),
                    // Killed before it was started, or dead by now.
                    Known::Ending => None,
                    _ => Some(false),
                },
            ),
            6 => ("pause", caller.pause(&id), lasting(slot, Known::Running)),
            7 => ("resume", caller.resume(&id), lasting(slot, Known::Paused)),
            8 | 9 => {
                let process = json!({"args": ["nap", "0"], "cwd": "/", "user": user(slot)});
                let result = caller.exec(&id, &exec, &process).and_then(|code| {
                    anyhow::ensure!(code == 0, "an exec ended with {code}");
                    Ok(())
                });
                ("exec", result, lasting(slot, Known::Running))
            }
            10 => {
                let right = match slot.known {
                    Known::Empty => Some(false),
                    Known::Running if slot.lasting => Some(true),
                    _ => None,
                };
                ("update", caller.update(&id, &json!({"memory": {"limit": 128 << 20}})), right)
            }
            11 => ("stats", caller.has_metrics(&id).map(drop), Some(true)),
            12 => {
                let signal = if self.dice.throw(2) == 0 { TERM } else { KILL };
                let right = match slot.known {
                    Known::Empty => Some(false),
                    Known::Running | Known::Paused | Known::Created if slot.lasting => Some(true),
                    _ => None,
                };
                ("kill", caller.kill(&id, signal), right)
            }
            _ => {
                let right = match slot.known {
                    Known::Created => Some(true),
                    Known::Empty | Known::Running | Known::Paused if slot.lasting => Some(false),
                    Known::Empty => Some(false),
                    _ => None,
                };
                ("delete", caller.delete(&id).map(drop), right)
            }
        };
        slot.judge(ledger, epoch, call, &result, right);
        Ok(())
    }

    /// Ends and removes everything, now that all is well.
    pub fn clear(&mut self) -> Result<()> {
        for slot in &mut self.slots {
            let id = slot.member.id();
            if self.caller.tasks()?.contains_key(id) {
                // It may have ended.
                drop(self.caller.kill(id, KILL));
                let state = until(&format!("{id} has ended"), 60, || {
                    Ok(self
                        .caller
                        .tasks()?
                        .get(id)
                        .copied()
                        .filter(|state| matches!(state, State::Stopped(_) | State::Created)))
                });
                let state = state.map_err(|error| error.context(format!("{id} was {:?}", slot.known)))?;
                if let State::Stopped(code) = state
                    && !CODES.contains(&code)
                {
                    self.ledger.violated(format!("{id} ended with {code}"));
                }
                self.caller.delete(id)?;
            } else {
                let lost = slot.lasting
                    && matches!(slot.known, Known::Created | Known::Running | Known::Paused)
                    && !self.ledger.was_deadly_since(slot.born);
                if lost {
                    self.ledger.violated(format!("{id} was {:?} and is lost", slot.known));
                }
                // Its container may be there without a task.
                drop(self.caller.strike(id));
            }
        }
        Ok(())
    }
}

/// A call that has to be done, or refused.
fn right(done: bool) -> Option<bool> {
    Some(done)
}

/// What is right only for a container that is known to be in one state, and does not leave it by itself.
fn lasting(slot: &Slot, state: Known) -> Option<bool> {
    match slot.known {
        known if known == state && slot.lasting => Some(true),
        Known::Running | Known::Ending | Known::Unsure if !slot.lasting || slot.known == Known::Ending => {
            None
        }
        _ => Some(false),
    }
}

fn user(slot: &Slot) -> serde_json::Value {
    let uid = slot.member.uid();
    json!({"uid": uid, "gid": uid})
}

/// Finds out what became of a container whose last call was answered under a fault.
fn resolve(caller: &Caller, ledger: &Ledger, slot: &mut Slot) -> Result<()> {
    let epoch = ledger.epoch();
    let id = slot.member.id();
    let tasks = caller.tasks();
    if !ledger.is_calm_since(epoch) {
        return Ok(());
    }
    let Ok(tasks) = tasks else {
        ledger.violated("containerd does not answer although nothing is wrong".to_owned());
        return Ok(());
    };
    // Its bundle may be on the way: what is there for sure can be taken away, and what is not, too.
    match tasks.get(id) {
        Some(State::Running | State::Paused | State::Created | State::Unknown) => {
            drop(caller.kill(id, KILL));
            drop(caller.delete(id));
        }
        Some(State::Stopped(_)) => drop(caller.delete(id)),
        None => drop(caller.strike(id)),
    }
    let gone = caller.tasks().is_ok_and(|tasks| !tasks.contains_key(id)) && caller.strike(id).is_err();
    if gone && ledger.is_calm_since(epoch) {
        slot.known = Known::Empty;
    }
    Ok(())
}

impl Slot {
    /// `right`: whether the call had to be done, or refused; `None` where both may be.
    fn judge(
        &mut self,
        ledger: &Ledger,
        epoch: u64,
        call: &'static str,
        result: &Result<()>,
        right: Option<bool>,
    ) {
        let id = self.member.id().to_owned();
        if !ledger.is_calm_since(epoch)
            || (call != "create" && ledger.was_deadly_since(self.born) && self.known != Known::Empty)
        {
            ledger.answered(call, Answer::Unjudged);
            // What reads only leaves everything as it is.
            if call != "stats" {
                self.known = Known::Unsure;
            }
            return;
        }
        ledger.answered(call, if result.is_ok() { Answer::Done } else { Answer::Refused });
        match (right, result) {
            (Some(true), Err(error)) => {
                ledger.violated(format!("{call} of {id}, which is {:?}: {error:#}", self.known));
                self.known = Known::Unsure;
            }
            (Some(false), Ok(())) => {
                ledger.violated(format!("{call} of {id}, which is {:?}, was done", self.known));
                self.known = Known::Unsure;
            }
            (_, Ok(())) => self.known = self.after(call),
            _ => {}
        }
    }

    fn after(&self, call: &str) -> Known {
        match (call, self.known) {
            ("create", _) => Known::Created,
            ("start", Known::Created) if self.lasting => Known::Running,
            ("start" | "kill", _) => Known::Ending,
            ("pause", Known::Running) => Known::Paused,
            ("resume", Known::Paused) => Known::Running,
            ("delete", _) => Known::Empty,
            (_, known) => known,
        }
    }
}
