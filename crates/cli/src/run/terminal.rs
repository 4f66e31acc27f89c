//! The terminal of whoever called, lent to a guest.

use std::io;

use anyhow::{Context, Result};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use super::channel::Size;

/// While it lives, the terminal passes every key on. Afterwards it is what it was.
#[derive(Debug)]
pub struct Raw(Termios);

impl Raw {
    pub fn new() -> Result<Raw> {
        let stdin = io::stdin();
        let before = tcgetattr(&stdin).context("--tty needs a terminal, and stdin is none")?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&stdin, OptionalActions::Now, &raw).context("cannot change the terminal")?;
        Ok(Raw(before))
    }

    pub fn size(&self) -> Result<Size> {
        let size = tcgetwinsize(io::stdin()).context("the terminal has no size")?;
        Ok(Size { width: size.ws_col, height: size.ws_row })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _gone = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}
