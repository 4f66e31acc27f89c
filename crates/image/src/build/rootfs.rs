//! The tar layer of an ordinary image.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use tar::{Builder, EntryType, Header};

use super::refuse;
use crate::ImageError;

/// Something in a rootfs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    File {
        bytes: Vec<u8>,
        mode: u32,
    },
    /// `target` is kept as it is, outside the rootfs or not.
    Symlink {
        target: String,
    },
    Directory {
        mode: u32,
    },
    Fifo,
    CharDevice {
        major: u32,
        minor: u32,
    },
}

/// Packs `files` in the order of their paths, each folder before what it holds.
pub fn tar(files: &BTreeMap<String, Node>, mtime: u64) -> Result<Vec<u8>, ImageError> {
    let mut entries = BTreeMap::new();
    for (path, node) in files {
        let path = relative(path)?;
        for folder in folders_of(&path) {
            entries.entry(folder).or_insert(Node::Directory { mode: 0o755 });
        }
        if entries
            .insert(path.clone(), node.clone())
            .is_some_and(|other| !matches!(other, Node::Directory { .. }))
        {
            return Err(refuse(format!("two files are called /{path}: rename one")));
        }
    }
    let taken: BTreeSet<&String> = entries
        .iter()
        .filter(|(_, node)| !matches!(node, Node::Directory { .. }))
        .map(|(path, _)| path)
        .collect();
    for path in entries.keys() {
        if let Some(file) = folders_of(path).find(|folder| taken.contains(folder)) {
            return Err(refuse(format!("/{file} is a file and the folder of /{path} at once: rename one")));
        }
    }
    let mut tar = Builder::new(Vec::new());
    for (path, node) in &entries {
        append(&mut tar, path, node, mtime)
            .map_err(|error| refuse(format!("/{path} does not fit into a tar: {error}")))?;
    }
    tar.into_inner().map_err(|error| refuse(error.to_string()))
}

fn append(tar: &mut Builder<Vec<u8>>, path: &str, node: &Node, mtime: u64) -> io::Result<()> {
    let mut header = header(mtime);
    match node {
        Node::File { bytes, mode } => {
            header.set_mode(*mode);
            header.set_size(bytes.len() as u64);
            tar.append_data(&mut header, path, bytes.as_slice())
        }
        Node::Symlink { target } => {
            header.set_entry_type(EntryType::Symlink);
            header.set_mode(0o777);
            tar.append_link(&mut header, path, target)
        }
        Node::Directory { mode } => {
            header.set_entry_type(EntryType::Directory);
            header.set_mode(*mode);
            tar.append_data(&mut header, format!("{path}/"), io::empty())
        }
        Node::Fifo => {
            header.set_entry_type(EntryType::Fifo);
            tar.append_data(&mut header, path, io::empty())
        }
        Node::CharDevice { major, minor } => {
            header.set_entry_type(EntryType::Char);
            header.set_device_major(*major)?;
            header.set_device_minor(*minor)?;
            tar.append_data(&mut header, path, io::empty())
        }
    }
}

/// A header without traces of the machine that writes it.
pub fn header(mtime: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    header.set_mtime(mtime);
    header
}

/// `/app/x.wasm` as a tar has it; nothing that walks upwards.
fn relative(path: &str) -> Result<String, ImageError> {
    let relative = path.trim_start_matches('/');
    if relative.is_empty()
        || path.contains('\0')
        || relative.split('/').any(|part| matches!(part, "" | "." | ".."))
    {
        return Err(refuse(format!(
            "«{}» is no path in a rootfs: write it as /folder/file",
            path.escape_debug()
        )));
    }
    Ok(relative.into())
}

fn folders_of(path: &str) -> impl Iterator<Item = String> {
    path.match_indices('/').filter_map(|(at, _)| path.get(..at)).map(String::from)
}
