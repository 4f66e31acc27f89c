//! The programs of a checkout.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::operation::{self, Operation};

/// One test: a Wasm file, and a JSON file beside it where it needs one.
pub struct Program {
    /// `rust/wasm32-wasip3`: its source language and its release of WASI.
    pub folder: String,
    /// `rust/wasm32-wasip3/cli-env`.
    pub name: String,
    wasm: PathBuf,
}

/// All of a checkout, in the order of their names.
pub fn all(checkout: &Path) -> Result<Vec<Program>> {
    let mut programs = Vec::new();
    for language in entries(&checkout.join("tests"))? {
        let built = language.join("testsuite");
        for release in if built.is_dir() { entries(&built)? } else { Vec::new() } {
            let folder = format!("{}/{}", name_of(&language), name_of(&release));
            let files =
                entries(&release)?.into_iter().filter(|file| file.extension() == Some("wasm".as_ref()));
            programs.extend(files.map(|wasm| {
                let name = format!("{folder}/{}", wasm.file_stem().unwrap_or_default().to_string_lossy());
                Program { folder: folder.clone(), name, wasm }
            }));
        }
    }
    Ok(programs)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

impl Program {
    /// Its steps; a reason where this release has no way to run it.
    pub fn operations(&self) -> Result<Result<Vec<Operation>, String>> {
        match fs::read(self.wasm.with_extension("json")) {
            Ok(json) => operation::parse(&json),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => operation::parse(b"{}"),
            Err(error) => Err(error.into()),
        }
    }

    pub fn bytes(&self) -> Result<Vec<u8>> {
        Ok(fs::read(&self.wasm)?)
    }

    /// The tar of a folder beside the program. What runs of other runners have left in it (`*.cleanup`) stays out.
    pub fn folder(&self, name: &str) -> Result<Vec<u8>> {
        let mut tar = tar::Builder::new(Vec::new());
        pack(&mut tar, &self.wasm.with_file_name(name), Path::new(""))?;
        Ok(tar.into_inner()?)
    }
}

fn pack(tar: &mut tar::Builder<Vec<u8>>, folder: &Path, inside: &Path) -> Result<()> {
    for path in entries(folder)? {
        let inside = inside.join(name_of(&path));
        match path.is_dir() {
            _ if path.extension() == Some("cleanup".as_ref()) => {}
            true => {
                tar.append_dir(&inside, &path)?;
                pack(tar, &path, &inside)?;
            }
            false => tar.append_path_with_name(&path, &inside)?,
        }
    }
    Ok(())
}
