//! The components of a composition with their types.

use std::collections::BTreeMap;

use wac_graph::types::{ItemKind, Package, SubtypeChecker, Type, Types};
use wac_graph::{CompositionGraph, PackageId};

use super::{Component, ComposeError, MAX_COMPONENT, MAX_COMPONENTS, guarded};
use crate::error::tame;
use crate::{Digest, Kind, sniff};

/// All components, parsed into one collection of types.
pub struct Parts {
    pub graph: CompositionGraph,
    by_name: BTreeMap<String, Part>,
}

#[derive(Debug, Clone, Copy)]
pub struct Part {
    pub package: PackageId,
    pub digest: Digest,
}

impl Parts {
    /// Checks and parses. Components of the same content share their code, not their instances.
    pub fn read(components: &[Component<'_>]) -> Result<Parts, ComposeError> {
        if components.len() > MAX_COMPONENTS {
            return Err(ComposeError::TooMany { found: components.len(), limit: MAX_COMPONENTS });
        }
        let mut parts = Parts { graph: CompositionGraph::new(), by_name: BTreeMap::new() };
        let mut packages = BTreeMap::new();
        for component in components {
            check(component)?;
            let digest = Digest::of(component.bytes);
            let package = match packages.get(&digest) {
                Some(package) => *package,
                None => parts.register(component, &digest)?,
            };
            packages.insert(digest, package);
            if parts.by_name.insert(component.name.into(), Part { package, digest }).is_some() {
                return Err(ComposeError::Twice(component.name.into()));
            }
        }
        Ok(parts)
    }

    fn register(&mut self, component: &Component<'_>, digest: &Digest) -> Result<PackageId, ComposeError> {
        let invalid =
            |why: String| ComposeError::Invalid { name: component.name.into(), why: tame(&why, 500) };
        guarded(|| {
            let package =
                Package::from_bytes(&digest.to_string(), None, component.bytes, self.graph.types_mut())
                    .map_err(|error| invalid(format!("{error:#}")))?;
            self.graph.register_package(package).map_err(|error| invalid(error.to_string()))
        })
    }

    /// The component of this name.
    pub fn get(&self, name: &str) -> Result<Part, ComposeError> {
        self.by_name.get(name).copied().ok_or_else(|| ComposeError::Unknown {
            name: name.into(),
            known: super::names::listed(self.names()),
        })
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    pub fn types(&self) -> &Types {
        self.graph.types()
    }

    pub fn imports(&self, part: Part) -> impl Iterator<Item = (&str, ItemKind)> + Clone {
        self.world(part).imports.iter().map(|(name, kind)| (name.as_str(), *kind))
    }

    pub fn exports(&self, part: Part) -> impl Iterator<Item = (&str, ItemKind)> + Clone {
        self.world(part).exports.iter().map(|(name, kind)| (name.as_str(), *kind))
    }

    fn world(&self, part: Part) -> &wac_graph::types::World {
        &self.types()[self.graph[part.package].ty()]
    }

    /// Whether what is exported can stand where `wanted` is imported.
    pub fn fits(&self, exported: ItemKind, wanted: ItemKind) -> bool {
        let mut cache = Default::default();
        SubtypeChecker::new(&mut cache).is_subtype(exported, self.types(), wanted, self.types()).is_ok()
    }

    /// Whether somebody must give what is imported. Types that are no resources are only names for what is known.
    pub fn needs_provider(&self, import: ItemKind) -> bool {
        match import {
            ItemKind::Instance(id) => {
                self.types()[id].exports.values().any(|member| self.needs_provider(*member))
            }
            ItemKind::Type(Type::Resource(id)) => self.types()[id].alias.is_none(),
            ItemKind::Type(_) => false,
            ItemKind::Func(_) | ItemKind::Component(_) | ItemKind::Module(_) | ItemKind::Value(_) => true,
        }
    }
}

/// Names come from files, titles of layers and plans, and stand in errors.
pub fn check_name(name: &str) -> Result<(), ComposeError> {
    const MOST: usize = 255;
    if name.is_empty() || name.len() > MOST || name.chars().any(char::is_control) {
        return Err(ComposeError::Name(tame(name, MOST)));
    }
    Ok(())
}

fn check(component: &Component<'_>) -> Result<(), ComposeError> {
    check_name(component.name)?;
    let (name, size) = (component.name.to_owned(), component.bytes.len() as u64);
    if size > MAX_COMPONENT {
        return Err(ComposeError::TooLarge { name, size, limit: MAX_COMPONENT });
    }
    match sniff(component.bytes) {
        Kind::Component => Ok(()),
        Kind::Module => Err(ComposeError::Module(name)),
        other => Err(ComposeError::NoComponent { name, found: other.describe() }),
    }
}
