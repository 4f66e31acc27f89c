//! Carries a plan out.

use std::collections::BTreeMap;

use wac_graph::{CompositionGraph, EncodeError, EncodeOptions, NodeId};

use super::names::listed;
use super::parts::{Parts, check_name};
use super::{Component, ComposeError, MAX_COMPONENT, MAX_COMPONENTS, Plan, cycle, guarded};
use crate::error::tame;
use crate::{Digest, inspect};

impl Plan {
    /// Links `components`, which must be those that the plan was made for, and maybe more. The same plan gives the same bytes.
    ///
    /// # Errors
    /// [`ComposeError::Changed`] for other components, and the rest of [`ComposeError`] for a plan that was not made by
    /// [`Plan::new`]: it may come from a stranger's image.
    pub fn compose(&self, components: &[Component<'_>]) -> Result<Vec<u8>, ComposeError> {
        self.check()?;
        let known = || listed(components.iter().map(|component| component.name));
        let mut needed = Vec::new();
        for (name, expected) in &self.components {
            let found = components.iter().find(|component| component.name == name);
            let component =
                *found.ok_or_else(|| ComposeError::Unknown { name: name.clone(), known: known() })?;
            let found = Digest::of(component.bytes);
            if found != *expected {
                return Err(ComposeError::Changed { name: name.clone(), expected: *expected, found });
            }
            needed.push(component);
        }
        self.link(&mut Parts::read(&needed)?)
    }

    /// Refuses what [`Plan::new`] makes none of, before anything grows with it.
    fn check(&self) -> Result<(), ComposeError> {
        if self.components.len() > MAX_COMPONENTS {
            return Err(ComposeError::TooMany { found: self.components.len(), limit: MAX_COMPONENTS });
        }
        let ends = self.links.iter().flat_map(|link| [&link.to, &link.from]);
        for name in ends.chain([&self.root]).chain(self.components.keys()) {
            check_name(name)?;
            if !self.components.contains_key(name) {
                let known = listed(self.components.keys().map(String::as_str));
                return Err(ComposeError::Unknown { name: name.clone(), known });
            }
        }
        Ok(())
    }

    /// The parts must be those of the plan.
    pub(super) fn link(&self, parts: &mut Parts) -> Result<Vec<u8>, ComposeError> {
        if self.links.is_empty() && self.components.len() == 1 {
            let root = parts.get(&self.root)?;
            return Ok(parts.graph[root.package].bytes().to_vec());
        }
        let bytes = guarded(|| self.encode(parts))?;
        if bytes.len() as u64 > MAX_COMPONENT {
            let (name, size) = ("the composition".to_owned(), bytes.len() as u64);
            return Err(ComposeError::TooLarge { name, size, limit: MAX_COMPONENT });
        }
        inspect(&bytes).map_err(|error| ComposeError::Broken(error.to_string()))?;
        Ok(bytes)
    }

    fn encode(&self, parts: &mut Parts) -> Result<Vec<u8>, ComposeError> {
        let mut instances: BTreeMap<&str, NodeId> = BTreeMap::new();
        for name in cycle::order(&self.root, &self.links)? {
            let part = parts.get(name)?;
            let instance = parts.graph.instantiate(part.package);
            parts.graph.set_node_name(instance, name);
            for link in self.links.iter().filter(|link| link.to == name) {
                let from = instances.get(link.from.as_str()).copied().ok_or(ComposeError::Unsupported)?;
                let export = alias(&mut parts.graph, from, &link.export)?;
                parts
                    .graph
                    .set_instantiation_argument(instance, &link.import, export)
                    .map_err(|error| broken(&error))?;
            }
            instances.insert(name, instance);
        }
        let root = parts.get(&self.root)?;
        let instance = instances.get(self.root.as_str()).copied().ok_or(ComposeError::Unsupported)?;
        let exports: Vec<String> = parts.exports(root).map(|(name, _)| name.to_owned()).collect();
        for name in exports {
            let export = alias(&mut parts.graph, instance, &name)?;
            parts.graph.export(export, &name).map_err(|error| broken(&error))?;
        }
        encode(&parts.graph)
    }
}

fn alias(graph: &mut CompositionGraph, instance: NodeId, export: &str) -> Result<NodeId, ComposeError> {
    graph.alias_instance_export(instance, export).map_err(|error| broken(&error))
}

fn encode(graph: &CompositionGraph) -> Result<Vec<u8>, ComposeError> {
    // Validated by the caller, with the parser that everything else here uses.
    let options = EncodeOptions { validate: false, ..EncodeOptions::default() };
    let name = |node: NodeId| graph[node].name().unwrap_or_default().to_owned();
    graph.encode(options).map_err(|error| match error {
        EncodeError::ImportTypeMergeConflict { import, first, second, source } => ComposeError::Merge {
            first: name(first),
            second: name(second),
            import,
            why: tame(&format!("{source:#}"), 500),
        },
        other => broken(&other),
    })
}

/// What stood in a plan that [`Plan::new`] did not make.
fn broken(error: &dyn std::error::Error) -> ComposeError {
    let source = error.source().map(|source| format!(": {source:#}")).unwrap_or_default();
    ComposeError::Broken(tame(&format!("{error}{source}"), 500))
}
