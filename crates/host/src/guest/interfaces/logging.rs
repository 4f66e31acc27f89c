//! `wasi:logging`: lines on the container's stderr.

use wasmtime::component::{ComponentType, Lift, Linker, Lower};
use wasmtime::{Result, StoreContextMut};

use super::super::state::ComponentState;

/// The interface has no release yet: these are the names that components import it by.
pub(super) const UNVERSIONED: &str = "wasi:logging/logging";
pub(super) const DRAFT: &str = "wasi:logging/logging@0.1.0-draft";

/// `level` of `wasi:logging/logging`.
#[derive(Clone, Copy, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code, reason = "they come from the guest")]
enum Level {
    #[component(name = "trace")]
    Trace,
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
    #[component(name = "critical")]
    Critical,
}

pub(super) fn unversioned(linker: &mut Linker<ComponentState>) -> Result<()> {
    add_to_linker(linker, UNVERSIONED)
}

pub(super) fn draft(linker: &mut Linker<ComponentState>) -> Result<()> {
    add_to_linker(linker, DRAFT)
}

fn add_to_linker(linker: &mut Linker<ComponentState>, interface: &str) -> Result<()> {
    linker.instance(interface)?.func_wrap_async(
        "log",
        |store: StoreContextMut<'_, ComponentState>, (level, context, message): (Level, String, String)| {
            let stdio = store.data().stdio.clone();
            Box::new(async move {
                stdio.log(&line(level, &context, &message)).await;
                Ok(())
            })
        },
    )
}

/// One line, whatever the guest puts into it: nobody can forge another one.
fn line(level: Level, context: &str, message: &str) -> String {
    let mut line = level.name().to_owned();
    if !context.is_empty() {
        line.push(' ');
        escape(context, &mut line);
    }
    line.push_str(": ");
    escape(message, &mut line);
    line
}

fn escape(text: &str, into: &mut String) {
    for char in text.chars() {
        match char.is_control() && char != '\t' {
            true => into.extend(char.escape_default()),
            false => into.push(char),
        }
    }
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_with_its_level_and_context() {
        assert_eq!(line(Level::Warn, "db", "slow\tquery"), "warn db: slow\tquery");
        assert_eq!(line(Level::Info, "", "up"), "info: up");
        assert_eq!(
            line(Level::Error, "a\nb", "c\r\nerror: \u{1b}[31m"),
            r"error a\nb: c\r\nerror: \u{1b}[31m"
        );
    }
}
