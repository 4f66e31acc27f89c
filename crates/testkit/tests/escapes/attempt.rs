//! One attempt, its control, and what came of them.

use anyhow::{Context, Result, ensure};
use testkit::{Containerd, Tally, Wasi, mode};

use crate::scene::Scene;

/// One way to get at what was not granted.
pub struct Attempt {
    /// A sentence without its end: what the guest does.
    pub name: &'static str,
    /// The forms of the guest that can try.
    pub on: &'static [Wasi],
    pub control: Control,
    pub act: Act,
}

/// Runs the hostile guest and looks whether it got to its target.
pub type Act = fn(&Scene<'_>) -> Result<Verdict>;

/// How it is known that the attempt would get there if nothing stopped it.
pub enum Control {
    /// The same guest does the same with [`Scene::open`] set, and gets there.
    Open,
    /// As [`Control::Open`], in normal mode alone; why nothing gets there in shared mode.
    OpenAlone(&'static str),
    /// There is no run in which it could get there; why that is.
    None(&'static str),
}

/// What was seen from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The target is untouched; what the guest was told.
    Stopped(String),
    /// The guest got at its target; what it got.
    Escaped(String),
}

/// Every form that a guest comes in.
pub const ALL: &[Wasi] = &[Wasi::P1, Wasi::P2, Wasi::P3];
/// Those that guests in WAT have.
pub const WAT: &[Wasi] = &[Wasi::P1, Wasi::P2];

/// How often a control is made at most.
const CONTROLS: usize = 5;

impl Attempt {
    /// Makes the attempt in every form, a line each; how many got through.
    pub fn make(&self, daemon: &Containerd, tally: &mut Tally) -> usize {
        let mut escaped = 0;
        for &wasi in self.on {
            let (word, told) = match self.verdict(daemon, wasi) {
                Ok(Verdict::Stopped(told)) => {
                    tally.pass();
                    ("stopped", told)
                }
                Ok(Verdict::Escaped(got)) => {
                    escaped += 1;
                    tally.fail(format!("{} ({wasi})", self.name), anyhow::anyhow!("it got {got}"));
                    ("ESCAPED", got)
                }
                Err(error) => {
                    tally.fail(format!("{} ({wasi})", self.name), error);
                    ("FAILED", "see below".to_owned())
                }
            };
            println!("{word:<8} {wasi}  {:<72} {}", self.name, one_line(&told));
        }
        escaped
    }

    fn verdict(&self, daemon: &Containerd, wasi: Wasi) -> Result<Verdict> {
        match self.control {
            Control::OpenAlone(why) if mode::is_shared() => {
                ensure!(!why.is_empty(), "why has it no control?")
            }
            Control::Open | Control::OpenAlone(_) => {
                let control = || (self.act)(&Scene::new(daemon, wasi, true)?).context("the control failed");
                let mut verdict = control()?;
                // One that has to win a race may lose some.
                for _ in 1..CONTROLS {
                    if let Verdict::Stopped(_) = verdict {
                        verdict = control()?;
                    }
                }
                let got_there = matches!(verdict, Verdict::Escaped(_));
                ensure!(got_there, "the control proves nothing, it did not get there either: {verdict:?}");
            }
            Control::None(why) => ensure!(!why.is_empty(), "why has it no control?"),
        }
        (self.act)(&Scene::new(daemon, wasi, false)?)
    }
}

fn one_line(text: &str) -> String {
    const MOST: usize = 100;
    let line = text.lines().next().unwrap_or_default();
    line.get(..line.floor_char_boundary(MOST)).unwrap_or_default().to_owned()
}
