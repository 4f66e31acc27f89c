//! Components and a project become an image.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use image::compose::{self, Component, Composed, Plan, Providers, Target, Wiring};
use image::{ImageBuilder, Kind};

use super::build::{Event, Teller};
use super::file::{Format, Project, World};
use super::obtain::Obtained;

/// Composes and packs.
pub fn pack(
    project: &Project,
    components: &BTreeMap<String, Obtained>,
    format: Format,
    tell: &Teller,
) -> Result<ImageBuilder> {
    let builder = described(project);
    if let Some(module) = only_module(components) {
        if format == Format::Layers {
            bail!("the format layers is for components, and this project is one core module: choose image");
        }
        return Ok(builder.format(packed_as(format)).wasm(format!("{}.wasm", project.name), module));
    }
    let parts: Vec<Component<'_>> =
        components.iter().map(|(name, part)| Component { name, bytes: &part.bytes }).collect();
    let composed = compose::compose(&parts, &wiring(project), target(project.world))
        .context("the components cannot be composed")?;
    tell.event(&Event::Composed {
        components: composed.plan.components.len(),
        links: composed.plan.links.len(),
        bytes: composed.bytes.len() as u64,
    });
    Ok(match format {
        Format::Layers => layers(builder, components, &composed),
        format => builder.format(packed_as(format)).wasm(format!("{}.wasm", project.name), composed.bytes),
    })
}

/// What an image has besides its Wasm.
fn described(project: &Project) -> ImageBuilder {
    let mut builder = ImageBuilder::new()
        .cmd(&project.run.args)
        .annotation("org.opencontainers.image.title", &project.name)
        .annotation("org.opencontainers.image.version", project.version.to_string());
    for (name, value) in &project.run.env {
        builder = builder.env(name, value);
    }
    for (key, value) in &project.labels {
        builder = builder.label(key, value);
    }
    for (key, value) in &project.annotations {
        builder = builder.annotation(key, value);
    }
    match &project.run.user {
        Some(user) => builder.user(user),
        None => builder,
    }
}

/// The root's layer is first, for runtimes that know of no other.
fn layers(
    mut builder: ImageBuilder,
    components: &BTreeMap<String, Obtained>,
    composed: &Composed,
) -> ImageBuilder {
    let title = |name: &str| format!("{name}.wasm");
    let is_root = |name: &str| name == composed.plan.root;
    for first in [true, false] {
        for (name, part) in components.iter().filter(|(name, _)| is_root(name) == first) {
            builder = builder.wasm(title(name), part.bytes.clone());
        }
    }
    let plan: Plan = composed.plan.renamed(title);
    builder.composition(plan)
}

/// A project of a single module of WASI preview 1 is not composed.
fn only_module(components: &BTreeMap<String, Obtained>) -> Option<Vec<u8>> {
    let (_, only) = components.first_key_value().filter(|_| components.len() == 1)?;
    (image::sniff(&only.bytes) == Kind::Module).then(|| only.bytes.clone())
}

fn wiring(project: &Project) -> Wiring {
    let choices = project.graph.links.iter().flat_map(|(to, links)| {
        links.iter().map(|(import, choice)| compose::Choice {
            to: to.clone(),
            import: import.clone(),
            from: choice.from.clone(),
            export: choice.export.clone(),
        })
    });
    let providers = match &project.graph.plug {
        Some(order) => Providers::InOrder(order.clone()),
        None => Providers::Any,
    };
    Wiring { root: project.root().into(), choices: choices.collect(), providers }
}

fn target(world: World) -> Target {
    match world {
        World::Any => Target::Any,
        World::Command => Target::Command,
        World::Server => Target::Server,
    }
}

fn packed_as(format: Format) -> image::Format {
    match format {
        Format::Artifact => image::Format::Artifact,
        Format::Image | Format::Layers => image::Format::Image,
    }
}
