//! Progress on stderr: bars, lines, or JSON.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use builder::registry::{Action, Event, How, Progress};
use image::Digest;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// One object per line, as the library tells it.
#[derive(Debug)]
pub struct Json;

impl Progress for Json {
    fn event(&self, event: &Event) {
        if let Ok(mut line) = serde_json::to_vec(event) {
            line.push(b'\n');
            // Who does not listen misses no result.
            drop(io::stderr().lock().write_all(&line));
        }
    }
}

/// A line for each blob that is done, and for each wait.
#[derive(Debug)]
pub struct Lines;

impl Progress for Lines {
    fn event(&self, event: &Event) {
        if let Some(line) = line(event) {
            drop(writeln!(io::stderr().lock(), "{line}"));
        }
    }
}

/// A bar for each blob on its way, and lines for the rest.
#[derive(Debug, Default)]
pub struct Bars {
    all: MultiProgress,
    bars: Mutex<HashMap<(Action, Digest), ProgressBar>>,
}

impl Progress for Bars {
    fn event(&self, event: &Event) {
        let mut bars = self.bars.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Started { action, digest, size } => {
                let bar = self.all.add(ProgressBar::new(*size));
                if let Ok(style) = ProgressStyle::with_template(
                    "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
                ) {
                    bar.set_style(style);
                }
                bar.set_message(short(digest));
                bars.insert((*action, *digest), bar);
            }
            Event::Advanced { action, digest, done, .. } => {
                if let Some(bar) = bars.get(&(*action, *digest)) {
                    bar.set_position(*done);
                }
            }
            Event::Finished { action, digest, .. } => {
                if let Some(bar) = bars.remove(&(*action, *digest)) {
                    bar.finish_and_clear();
                    self.all.remove(&bar);
                }
            }
            Event::Waiting { .. } => {}
        }
        if let Some(line) = line(event) {
            drop(self.all.println(line));
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        drop(self.all.clear());
    }
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
