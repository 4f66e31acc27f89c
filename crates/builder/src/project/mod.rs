//! A project: its `run.toml`, its `run.lock.toml`, and how they become one image.
//!
//! A build has one direction: read the file, obtain every component (from a file, a build command or a registry), hold all of
//! that against the lock, compose, pack, write. Nothing is written before all of it has succeeded. `docs/run-toml.md` is the
//! reference of the file.

mod build;
mod command;
mod file;
mod install;
mod lock;
mod obtain;
mod output;
mod pack;
mod problem;
mod source;
mod tools;
mod wac;

pub use self::build::{Built, Event, Options, build};
pub use self::file::{Choice, Component, Format, Graph, Origin, Project, World};
pub use self::install::{Installed, Wish, install};
pub use self::lock::{LOCK_FILE, Lock, Locked, Pin};
pub use self::obtain::Obtained;
pub use self::output::Output;
pub use self::source::Source;
pub use self::wac::compose_wac;

/// The name of a project's file.
pub const PROJECT_FILE: &str = "run.toml";
