//! What fails: processes die, stand still, a disk is full, a connection breaks in the middle of a call.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;
use testkit::{Containerd, Dice, Process};

use crate::ledger::Ledger;

/// After a fault's own end, until what it has broken is found out.
const AFTERMATH: Duration = Duration::from_millis(300);

pub struct Injector<'a> {
    daemon: &'a Containerd,
    ledger: &'a Ledger,
    dice: Dice,
}

impl<'a> Injector<'a> {
    pub fn new(daemon: &'a Containerd, ledger: &'a Ledger, seed: u64) -> Injector<'a> {
        Injector { daemon, ledger, dice: Dice::new(seed, u64::MAX - 1) }
    }

    /// Waits for a while, then breaks something, and mends it.
    pub fn strike(&mut self) -> Result<()> {
        std::thread::sleep(Duration::from_millis(500 + self.dice.throw(1500)));
        match self.dice.throw(10) {
            0 => self.fault("kill -9 of containerd", false, |it| {
                it.daemon.kill()?;
                it.pause(1000);
                it.daemon.begin()
            }),
            1 => self.fault("restart of containerd", false, |it| {
                it.daemon.stop()?;
                it.daemon.begin()
            }),
            2 => self.fault("kill -9 of a shim", true, |it| it.signal(Injector::shims, Signal::KILL)),
            3 => self.fault("kill -9 of a host", true, |it| it.signal(Injector::hosts, Signal::KILL)),
            4 => self.fault("kill -9 of a compiler", false, |it| {
                // Whose Wasm is compiled anew is there for a moment only.
                it.forget_code()?;
                it.pause(200);
                it.signal(Injector::compilers, Signal::KILL)
            }),
            5 => self.fault("a shim that stands still", false, |it| it.hold(Injector::shims)),
            6 => self.fault("a host that stands still", false, |it| it.hold(Injector::hosts)),
            7 => self.fault("a full disk", false, Injector::fill),
            8 => self.fault("kill -9 of the newest shim", true, |it| {
                it.signal(Injector::newest_shim, Signal::KILL)
            }),
            _ => self.fault("nonsense on a shim's socket", false, Injector::nonsense),
        }
    }

    /// Waits until nothing is broken any more.
    pub fn stop(&mut self) -> Result<()> {
        std::thread::sleep(AFTERMATH);
        Ok(())
    }

    fn fault(
        &mut self,
        name: &'static str,
        deadly: bool,
        act: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        self.ledger.begin(name, deadly);
        let result = act(self).context(name);
        std::thread::sleep(AFTERMATH);
        self.ledger.over();
        result
    }

    fn pause(&mut self, milliseconds: u64) {
        std::thread::sleep(Duration::from_millis(self.dice.throw(milliseconds)));
    }

    fn signal(&mut self, whom: fn(&Self) -> Result<Vec<Process>>, signal: Signal) -> Result<()> {
        let all = whom(self)?;
        let which = self.dice.throw(all.len().max(1) as u64);
        match all.get(usize::try_from(which)?) {
            Some(process) => self.daemon.nest().end(process, signal),
            None => Ok(()),
        }
    }

    /// Has a process stand still, shorter than a watchdog minds.
    fn hold(&mut self, whom: fn(&Self) -> Result<Vec<Process>>) -> Result<()> {
        let all = whom(self)?;
        let which = self.dice.throw(all.len().max(1) as u64);
        let Some(process) = all.get(usize::try_from(which)?) else { return Ok(()) };
        self.daemon.nest().end(process, Signal::STOP)?;
        self.pause(1500);
        self.daemon.nest().end(process, Signal::CONT)
    }

    fn shims(&self) -> Result<Vec<Process>> {
        self.daemon.nest().shims()
    }

    /// One that containerd may not have reached yet, or none.
    fn newest_shim(&self) -> Result<Vec<Process>> {
        Ok(self.shims()?.into_iter().max_by_key(|process| process.pid).into_iter().collect())
    }

    fn hosts(&self) -> Result<Vec<Process>> {
        self.daemon.nest().hosts()
    }

    fn compilers(&self) -> Result<Vec<Process>> {
        let mut all = self.daemon.nest().processes()?;
        all.retain(|process| process.command_line.contains(" compile "));
        Ok(all)
    }

    fn forget_code(&self) -> Result<()> {
        for entry in fs::read_dir(self.daemon.nest().see("/var/lib/run-wasm/aot")).into_iter().flatten() {
            let path = entry?.path();
            if path.extension().is_some_and(|kind| kind == "cwasm") {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// The disk of the runtime's own state, for a moment.
    fn fill(&mut self) -> Result<()> {
        let file = self.daemon.nest().see("/run/run-wasm/ballast");
        let mut ballast = fs::File::create(&file).context("cannot fill the disk")?;
        let block = vec![0; 1 << 20];
        // As long as there is room, and never the machine's own memory.
        let full = (0..256).find_map(|_| ballast.write_all(&block).err());
        self.pause(1000);
        drop(ballast);
        fs::remove_file(&file)?;
        match full {
            Some(_) => Ok(()),
            None => anyhow::bail!("the disk is larger than a test may fill"),
        }
    }

    /// Bytes that are no ttrpc, half a message, and connections that break at once. Whether the shims answer still, the next calls
    /// show.
    fn nonsense(&mut self) -> Result<()> {
        let sockets = fs::read_dir(self.daemon.nest().see("/run/containerd/s")).into_iter().flatten();
        for socket in sockets.filter_map(Result::ok) {
            let Ok(mut stream) = UnixStream::connect(socket.path()) else { continue };
            let mut bytes = self.dice.bytes(4096);
            if self.dice.throw(2) == 0 {
                // A right header, of a message that never comes.
                bytes.splice(0..0, [0, 0, 16, 0, 0, 0, 0, 1, 1, 0]);
            }
            // Who hangs up first is of no importance.
            drop(stream.write_all(&bytes));
        }
        Ok(())
    }
}
