//! The signals that end a program.

use std::fs;
use std::future::poll_fn;
use std::task::Poll;

use anyhow::Result;
use nix::libc::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Those of them that this process does not ignore. Needs a tokio runtime.
#[derive(Debug)]
pub struct Signals(Vec<(i32, Signal)>);

impl Signals {
    /// Whoever called may have this process ignore some, as `nohup` does, and a shell for what it has in the background: to ask
    /// for them would end that.
    ///
    /// # Errors
    /// Those of tokio.
    pub fn new() -> Result<Signals> {
        let ignored = ignored();
        let wanted = [SIGTERM, SIGINT, SIGQUIT, SIGHUP].into_iter().filter(|number| !has(ignored, *number));
        let signals = wanted
            .map(|number| -> Result<(i32, Signal)> { Ok((number, signal(SignalKind::from_raw(number))?)) });
        Ok(Signals(signals.collect::<Result<_>>()?))
    }

    /// The next one's number.
    pub async fn next(&mut self) -> i32 {
        poll_fn(|context| {
            let came = |(number, signal): &mut (i32, Signal)| {
                signal.poll_recv(context).is_ready().then_some(*number)
            };
            self.0.iter_mut().find_map(came).map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

/// From now on Ctrl-Z does not stop this process, whose guest would run on.
pub fn never_stop() -> Result<()> {
    if !has(ignored(), SIGTSTP) {
        // The handler stays, and nobody waits for it.
        drop(signal(SignalKind::from_raw(SIGTSTP))?);
    }
    Ok(())
}

/// The mask of what this process ignores (proc_pid_status(5)). Where there is no /proc, as in a bare chroot, nothing is known to be.
fn ignored() -> u64 {
    fs::read_to_string("/proc/self/status").ok().and_then(|status| mask(&status)).unwrap_or(0)
}

fn mask(status: &str) -> Option<u64> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

fn has(mask: u64, number: i32) -> bool {
    u32::try_from(number - 1).ok().and_then(|bit| mask.checked_shr(bit)).is_some_and(|rest| rest & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_is_read_as_the_kernel_writes_it() {
        let ignored =
            mask("Name:\tx\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\nSigCgt:\t2\n").unwrap();
        assert!(has(ignored, SIGHUP) && has(ignored, 13));
        assert!(!has(ignored, SIGINT) && !has(ignored, SIGTERM) && !has(ignored, 0));
        assert_eq!((mask("Name:\tx\n"), mask("SigIgn:\tx\n")), (None, None));
    }
}
