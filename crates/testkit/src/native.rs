//! The image of native containers: busybox, and nothing of Wasm.

use anyhow::Result;
use image::build::Node;
use image::{Format, ImageBuilder};

use crate::environment::folder;

/// What it has under names of its own.
const APPLETS: [&str; 4] = ["sh", "nc", "sleep", "cat"];

/// Its arguments are lines for a shell.
pub(crate) fn busybox() -> Result<ImageBuilder> {
    let program = std::fs::read(folder("BUSYBOX_BIN")?.join("busybox"))?;
    let mut image = ImageBuilder::new().format(Format::Rootfs).rootfs_file("/bin/busybox", program, 0o755);
    for applet in APPLETS {
        image = image.rootfs_node(format!("/bin/{applet}"), Node::Symlink { target: "busybox".into() });
    }
    Ok(image.entrypoint(["sh", "-c"]).env("PATH", "/usr/bin:/bin"))
}
