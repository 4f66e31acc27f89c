//! Who serves which import.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use wac_graph::types::ItemKind;

use super::names::{best, find, listed, same_interface};
use super::parts::{Part, Parts};
use super::{Component, ComposeError, Target, cycle, guarded, unmatched, wit};
use crate::inspect::{Item, World};
use crate::{Digest, Kind};

/// How components are to be linked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wiring {
    /// The component whose exports are those of the result.
    pub root: String,
    /// Links that were chosen; imports without one are matched by name, type and version.
    pub choices: Vec<Choice>,
    pub providers: Providers,
}

/// Who may serve an import that nobody chose a provider for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Providers {
    /// Any component but the root; two that could are an error.
    #[default]
    Any,
    /// These, each for the root and for those that stand before it; the first that can does.
    InOrder(Vec<String>),
}

/// One link that was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    pub to: String,
    /// The import's name; its version may be left out.
    pub import: String,
    pub from: String,
    /// The export's name, when it is not the import's.
    pub export: Option<String>,
}

/// A composition that has been decided: the components by their digests, and every link. It can be stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub root: String,
    /// The components that the root needs, itself included.
    pub components: BTreeMap<String, Digest>,
    /// In the order of `to` and `import`.
    pub links: Vec<Link>,
}

/// `export` of an instance of `from` is `import` of an instance of `to`. There is one instance of each component.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Link {
    pub to: String,
    pub import: String,
    pub from: String,
    pub export: String,
}

impl Plan {
    /// Decides every link.
    ///
    /// # Errors
    /// [`ComposeError`] for whatever would not link, or would link in more than one way.
    pub fn new(components: &[Component<'_>], wiring: &Wiring, target: Target) -> Result<Plan, ComposeError> {
        Plan::of(&Parts::read(components)?, wiring, target)
    }

    pub(super) fn of(parts: &Parts, wiring: &Wiring, target: Target) -> Result<Plan, ComposeError> {
        guarded(|| Planner { parts, wiring }.plan(target))
    }

    /// The same with other names for the components.
    pub fn renamed(&self, name: impl Fn(&str) -> String) -> Plan {
        let link = |link: &Link| Link { to: name(&link.to), from: name(&link.from), ..link.clone() };
        let mut links: Vec<Link> = self.links.iter().map(link).collect();
        links.sort();
        Plan {
            root: name(&self.root),
            components: self.components.iter().map(|(old, digest)| (name(old), *digest)).collect(),
            links,
        }
    }

    /// What tells this composition from all others: the digest of its canonical JSON. A cache's key.
    pub fn digest(&self) -> Digest {
        let links: Vec<_> = self.links.iter().map(|l| [&l.to, &l.import, &l.from, &l.export]).collect();
        let text = serde_json::json!([self.root, self.components, links]).to_string();
        Digest::of(text.as_bytes())
    }
}

struct Planner<'a> {
    parts: &'a Parts,
    wiring: &'a Wiring,
}

impl Planner<'_> {
    fn plan(&self, target: Target) -> Result<Plan, ComposeError> {
        let chosen = self.chosen()?;
        let root = self.wiring.root.as_str();
        let (mut components, mut links, mut unlinked) = (BTreeMap::new(), Vec::new(), Vec::new());
        let mut waiting = BTreeSet::from([root.to_owned()]);
        while let Some(to) = waiting.pop_first() {
            let part = self.parts.get(&to)?;
            components.insert(to.clone(), part.digest);
            for (import, kind) in self.parts.imports(part) {
                let by_choice = chosen.get(&(to.as_str(), import)).cloned();
                let link = match by_choice {
                    Some(link) => Some(link),
                    None => self.matched(&to, import, kind)?,
                };
                match link {
                    Some(link) => {
                        self.check_type(&link, kind)?;
                        if !components.contains_key(&link.from) {
                            waiting.insert(link.from.clone());
                        }
                        links.push(link);
                    }
                    None => unlinked.push(unmatched::Import { to: to.clone(), name: import.into(), kind }),
                }
            }
        }
        links.sort();
        cycle::refuse(root, &links)?;
        unmatched::refuse(self.parts, self.wiring, &components, &unlinked)?;
        self.refuse_unused(&components)?;
        target.check(root, &self.world()?)?;
        Ok(Plan { root: root.into(), components, links })
    }

    /// The choices, by consumer and import.
    fn chosen(&self) -> Result<BTreeMap<(&str, &str), Link>, ComposeError> {
        let mut chosen: BTreeMap<(&str, &str), Link> = BTreeMap::new();
        for choice in &self.wiring.choices {
            let to = self.parts.get(&choice.to)?;
            let from = self.parts.get(&choice.from)?;
            let imports = self.parts.imports(to).map(|(name, _)| name);
            let exports = self.parts.exports(from).map(|(name, _)| name);
            let import = find(&choice.import, imports.clone()).ok_or_else(|| ComposeError::NoImport {
                to: choice.to.clone(),
                import: choice.import.clone(),
                known: listed(imports),
            })?;
            let export = match &choice.export {
                Some(wanted) => find(wanted, exports.clone()),
                None => best(import, exports.clone()),
            };
            let export = export.ok_or_else(|| ComposeError::NoExport {
                from: choice.from.clone(),
                export: choice.export.clone().unwrap_or_else(|| import.into()),
                known: listed(exports),
            })?;
            let link = Link {
                to: choice.to.clone(),
                import: import.into(),
                from: choice.from.clone(),
                export: export.into(),
            };
            if let Some(first) = chosen.insert((choice.to.as_str(), import), link) {
                return Err(ComposeError::LinkedTwice {
                    to: choice.to.clone(),
                    import: import.into(),
                    first: first.from,
                    second: choice.from.clone(),
                });
            }
        }
        Ok(chosen)
    }

    /// The link that names and versions suggest.
    fn matched(&self, to: &str, import: &str, kind: ItemKind) -> Result<Option<Link>, ComposeError> {
        // A world's own types are names for those of its interfaces, and come with them.
        if matches!(kind, ItemKind::Type(_)) {
            return Ok(None);
        }
        let mut serving = self.candidates(to)?.into_iter().filter_map(|(from, part)| {
            let export = best(import, self.parts.exports(part).map(|(name, _)| name))?;
            Some((from, export))
        });
        let Some((from, export)) = serving.next() else { return Ok(None) };
        if let (Providers::Any, Some((second, _))) = (&self.wiring.providers, serving.next()) {
            return Err(ComposeError::Ambiguous {
                to: to.into(),
                import: import.into(),
                first: from.into(),
                second: second.into(),
            });
        }
        Ok(Some(Link { to: to.into(), import: import.into(), from: from.into(), export: export.into() }))
    }

    /// Who may serve `to` without being asked, the best first.
    fn candidates(&self, to: &str) -> Result<Vec<(&str, Part)>, ComposeError> {
        let names: Vec<&str> = match &self.wiring.providers {
            Providers::Any => {
                self.parts.names().filter(|name| *name != to && *name != self.wiring.root).collect()
            }
            Providers::InOrder(order) if to == self.wiring.root => order.iter().map(String::as_str).collect(),
            Providers::InOrder(order) => {
                order.iter().map(String::as_str).skip_while(|name| *name != to).skip(1).collect()
            }
        };
        names.into_iter().map(|name| Ok((name, self.parts.get(name)?))).collect()
    }

    fn check_type(&self, link: &Link, wanted: ItemKind) -> Result<(), ComposeError> {
        let from = self.parts.get(&link.from)?;
        let exported = self.parts.exports(from).find(|(name, _)| *name == link.export).map(|(_, kind)| kind);
        let Some(exported) = exported.filter(|exported| !self.parts.fits(*exported, wanted)) else {
            return Ok(());
        };
        Err(ComposeError::Mistyped {
            to: link.to.clone(),
            import: link.import.clone(),
            from: link.from.clone(),
            export: link.export.clone(),
            difference: Box::new(wit::difference(self.parts, wanted, exported)),
        })
    }

    fn refuse_unused(&self, used: &BTreeMap<String, Digest>) -> Result<(), ComposeError> {
        match self.parts.names().find(|name| !used.contains_key(*name)) {
            None => Ok(()),
            Some(name) => {
                let exports = self.parts.exports(self.parts.get(name)?).map(|(name, _)| name);
                Err(ComposeError::Unused { name: name.into(), exports: listed(exports) })
            }
        }
    }

    fn world(&self) -> Result<World, ComposeError> {
        let root = self.parts.get(&self.wiring.root)?;
        let item = |(name, kind): (&str, ItemKind)| Item {
            name: name.into(),
            kind: if matches!(kind, ItemKind::Func(_)) { "func" } else { "instance" },
        };
        let exports: Vec<Item> = self.parts.exports(root).map(item).collect();
        Ok(World::by_exports(Kind::Component, &exports))
    }
}

/// Whether `from` exports the interface in a version that does not fit, for an error.
pub(super) fn other_version<'a>(import: &str, exports: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    exports.into_iter().find(|export| same_interface(import, export))
}
