//! What containers of one host have in common: engines, and code that is mapped and linked once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use grants::{Clock, Grants, Profile, Random};

use super::export::{self, Target};
use super::load::{self, Code};
use super::{PrepareError, command, module, server};
use crate::engine::{Build, Engines, Flavour};

/// Code that no container uses is kept up to so many pieces.
const KEPT: usize = 64;

/// The code of a host. Containers that run the same one share it.
#[derive(Default)]
pub struct Library {
    engines: Engines,
    linked: Mutex<HashMap<Key, Arc<Linked>>>,
}

/// Linked code, and what its containers need of it.
#[derive(Clone)]
pub(super) enum Linked {
    Component(command::Linked),
    Server(server::Linked),
    Module(module::Linked),
}

impl Linked {
    pub fn serves(&self) -> bool {
        matches!(self, Linked::Server(_))
    }
}

/// What decides how code is linked. Of grants it is what takes functions away or replaces them.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    code: PathBuf,
    function: Option<String>,
    profile: Profile,
    clock: Clock,
    random: bool,
    dumps: bool,
}

impl Library {
    /// With engines that have room for so many containers at a time.
    pub fn pooling(containers: u32) -> Library {
        Library { engines: Engines::pooling(containers), linked: Mutex::default() }
    }

    /// Makes the engine that most code of a build needs, before it is needed.
    pub fn warm(&self, build: Build) -> Result<(), PrepareError> {
        let engine = self.engines.get(Flavour::plain(build));
        engine.map(drop).map_err(|error| PrepareError::Engine(format!("{error:#}")))
    }

    /// Lets all guests know that time goes on.
    pub fn tick(&self) {
        self.engines.tick();
    }

    /// The code at `path`, linked as `grants` have it. A path never comes to mean other code.
    pub(super) fn linked(&self, path: &Path, grants: &Grants) -> Result<Arc<Linked>, PrepareError> {
        let key = Key {
            code: path.to_owned(),
            function: grants.entry().function.clone(),
            profile: grants.profile(),
            clock: grants.clock(),
            random: grants.random() == Random::Deny,
            dumps: grants.coredump().is_some(),
        };
        if let Some(linked) = self.shelf().get(&key) {
            return Ok(linked.clone());
        }
        let linked = Arc::new(match load::load(&self.engines, grants, path)? {
            Code::Component(component, flavour) => {
                match export::target(&component, grants.entry().function.as_deref())? {
                    Target::Server(release) => {
                        Linked::Server(server::Linked::new(&component, flavour, release, grants)?)
                    }
                    Target::Call(call) => Linked::Component(command::Linked::new(&component, call, grants)?),
                }
            }
            Code::Module(module) => Linked::Module(module::Linked::new(&module, grants)?),
        });
        let mut shelf = self.shelf();
        if shelf.len() >= KEPT {
            shelf.retain(|_, linked| Arc::strong_count(linked) > 1);
        }
        // Two that link the same at the same time make it twice, and one is kept.
        Ok(shelf.entry(key).or_insert(linked).clone())
    }

    fn shelf(&self) -> MutexGuard<'_, HashMap<Key, Arc<Linked>>> {
        self.linked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
