//! Progress on stderr: bars on a terminal, lines elsewhere, JSON when it is asked for.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use builder::project;
use builder::registry::{Action, Event, How, Progress};
use image::Digest;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde::Serialize;

/// Who tells of transfers and of the steps of a build.
#[derive(Debug)]
pub enum Teller {
    Silent,
    /// One object per line, as the library tells it.
    Json,
    /// A line for each thing that is done, and for each wait.
    Lines,
    /// A bar for each thing that lasts, and lines for the rest.
    Bars(Bars),
}

impl Progress for Teller {
    fn event(&self, event: &Event) {
        match self {
            Teller::Silent => {}
            Teller::Json => json(event),
            Teller::Lines => line(event).into_iter().for_each(|line| say(&line)),
            Teller::Bars(bars) => bars.transfer(event),
        }
    }
}

impl Teller {
    /// A step of a build. What a command that failed said is told in any case: nobody could tell why it failed without it.
    pub fn step(&self, event: &project::Event) {
        match (self, event) {
            (Teller::Json, _) => json(event),
            (Teller::Silent | Teller::Lines, project::Event::Failed { component, output }) => {
                output.lines().for_each(|line| say(&format!("{component} | {}", tame(line))));
            }
            (Teller::Silent, _) => {}
            (Teller::Lines, event) => say(&step(event)),
            (Teller::Bars(bars), event) => bars.step(event),
        }
    }
}

/// Bars by what they are of.
#[derive(Debug, Default)]
pub struct Bars {
    all: MultiProgress,
    bars: Mutex<HashMap<Of, ProgressBar>>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
enum Of {
    Transfer(Action, Digest),
    Component(String),
}

impl Bars {
    fn transfer(&self, event: &Event) {
        match event {
            Event::Started { action, digest, size } => {
                let bar = self.begin(Of::Transfer(*action, *digest), ProgressBar::new(*size), TRANSFER);
                bar.set_message(short(digest));
            }
            Event::Advanced { action, digest, done, .. } => {
                let bars = self.bars.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(bar) = bars.get(&Of::Transfer(*action, *digest)) {
                    bar.set_position(*done);
                }
            }
            Event::Finished { action, digest, .. } => self.end(&Of::Transfer(*action, *digest)),
            Event::Waiting { .. } => {}
        }
        line(event).into_iter().for_each(|line| self.say(&line));
    }

    fn step(&self, event: &project::Event) {
        use project::Event;
        match event {
            Event::Building { component } => {
                let bar = self.begin(Of::Component(component.clone()), ProgressBar::new_spinner(), COMMAND);
                bar.set_message(format!("{component}: building"));
                bar.enable_steady_tick(Duration::from_millis(100));
                return;
            }
            Event::Built { component, .. } | Event::Failed { component, .. } => {
                self.end(&Of::Component(component.clone()));
            }
            Event::Resolving { .. } | Event::Pulling { .. } | Event::Composed { .. } => {}
        }
        if let Event::Failed { component, output } = event {
            output.lines().for_each(|line| self.say(&format!("{component} | {}", tame(line))));
        }
        self.say(&step(event));
    }

    fn begin(&self, of: Of, bar: ProgressBar, template: &str) -> ProgressBar {
        let bar = self.all.add(bar);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        self.bars.lock().unwrap_or_else(PoisonError::into_inner).insert(of, bar.clone());
        bar
    }

    fn end(&self, of: &Of) {
        if let Some(bar) = self.bars.lock().unwrap_or_else(PoisonError::into_inner).remove(of) {
            bar.finish_and_clear();
            self.all.remove(&bar);
        }
    }

    fn say(&self, line: &str) {
        drop(self.all.println(line));
    }
}

const TRANSFER: &str = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
const COMMAND: &str = "{spinner} {msg} {elapsed}";

impl Drop for Bars {
    fn drop(&mut self) {
        drop(self.all.clear());
    }
}

/// Tells why a command cannot go on.
pub fn error(as_json: bool, error: &anyhow::Error) {
    if as_json {
        json(&serde_json::json!({"event": "error", "message": format!("{error:#}")}));
    } else {
        say(&format!("error: {error:#}"));
    }
}

/// Writes a line of JSON.
pub fn json(event: &impl Serialize) {
    if let Ok(mut line) = serde_json::to_vec(event) {
        line.push(b'\n');
        // Who does not listen misses no result.
        drop(io::stderr().lock().write_all(&line));
    }
}

fn say(line: &str) {
    drop(writeln!(io::stderr().lock(), "{line}"));
}

fn line(event: &Event) -> Option<String> {
    match event {
        Event::Started { .. } | Event::Advanced { .. } => None,
        Event::Finished { action, digest, size, how } => {
            let done = match (how, action) {
                (How::Present, _) => "is there already",
                (How::Mounted, _) => "taken from another repository",
                (How::Transferred, Action::Pull) => "pulled",
                (How::Transferred, Action::Push) => "pushed",
            };
            Some(format!("{} {:>9}  {done}", short(digest), crate::output::mib(*size)))
        }
        Event::Waiting { registry, milliseconds, why } => {
            let wait = Duration::from_millis(*milliseconds).as_secs_f64();
            Some(format!("{registry}: {why}; again in {wait:.1} s"))
        }
    }
}

fn step(event: &project::Event) -> String {
    use project::Event;
    match event {
        Event::Building { component } => format!("{component}: building"),
        Event::Built { component, milliseconds } => {
            format!("{component}: built in {:.1} s", Duration::from_millis(*milliseconds).as_secs_f64())
        }
        Event::Failed { component, .. } => format!("{component}: failed"),
        Event::Resolving { component, repository } => {
            format!("{component}: looking for versions in {repository}")
        }
        Event::Pulling { component, version } => format!("{component}: pulling {version}"),
        Event::Composed { components: 1, bytes, .. } => format!("one component, {bytes} bytes"),
        Event::Composed { components, links, bytes } => {
            format!("composed {components} components by {links} links, {bytes} bytes")
        }
    }
}

/// Colours stay, as compilers write them; nothing else steers a terminal.
fn tame(line: &str) -> String {
    line.chars().filter(|char| *char == '\t' || *char == '\u{1b}' || !char.is_control()).collect()
}

fn short(digest: &Digest) -> String {
    digest.hex().chars().take(12).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_and_what_is_waited_for_has_a_line() {
        let digest = Digest::of(b"x");
        let finished = Event::Finished { action: Action::Pull, digest, size: 3 << 20, how: How::Present };
        assert_eq!(line(&finished).unwrap(), "2d711642b726    3.0MiB  is there already");
        let waiting = Event::Waiting { registry: "r.example".into(), milliseconds: 1500, why: "503".into() };
        assert_eq!(line(&waiting).unwrap(), "r.example: 503; again in 1.5 s");
        assert_eq!(line(&Event::Started { action: Action::Pull, digest, size: 1 }), None);
    }
}
