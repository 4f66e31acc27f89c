//! What is made from WIT: the type of a module, and Go that speaks it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::{Resolve, WorldId};
use wit_component::{StringEncoding, embed_component_metadata};

const COLLECTOR: &str = include_str!("collector.go");

pub struct World {
    wit: Resolve,
    world: WorldId,
}

impl World {
    /// The world of that name in the package at `path`, a file or a folder.
    pub fn parse(path: &str, name: &str) -> Result<Self> {
        let mut wit = Resolve::default();
        let (package, _files) =
            wit.push_path(path).with_context(|| format!("cannot read the WIT in {path}"))?;
        let world = wit.select_world(&[package], Some(name))?;
        Ok(Self { wit, world })
    }

    /// The module with a section that says which world it is of.
    pub fn embed(&self, mut module: Vec<u8>) -> Result<Vec<u8>> {
        embed_component_metadata(&mut module, &self.wit, self.world, StringEncoding::UTF8)?;
        Ok(module)
    }

    /// Writes Go packages into the new `folder` of the Go module `module`.
    pub fn bind_go(&mut self, module: &str, folder: &Path) -> Result<()> {
        let name = folder.file_name().with_context(|| format!("{} has no name", folder.display()))?;
        let options = wit_bindgen_go::Opts {
            format: wit_bindgen_go::Format::False,
            pkg_name: Some(format!("{module}/{}", name.display())),
            export_pkg_name: Some(module.to_owned()),
            ..Default::default()
        };
        let mut files = Files::default();
        options.build().generate(&mut self.wit, self.world, &mut files)?;
        files.push("collector/collector.go", COLLECTOR.as_bytes());
        for (name, text) in files.iter() {
            let file = folder.join(name);
            if let Some(parent) = file.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        }
        Ok(())
    }
}
