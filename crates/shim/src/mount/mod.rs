//! A container's file system: detached mounts that appear in its host's mount namespace and nowhere else.
//!
//! The node's mount table never sees them (but for the root file systems of native containers, which a runtime has to find): kubelet can unmount its volumes at any time, and when the host ends, all of
//! it is gone with the namespace.

mod attach;
mod in_root;
mod kernel_files;
mod rootfs;
mod shown;
mod syscall;
mod tree;

pub use attach::{Attachment, Content, aside, attach, attach_code, detach};
pub use in_root::open_file;
pub use kernel_files::refuse_kernel_files;
pub use rootfs::{native_rootfs, rootfs};
pub use shown::{hide, show};
pub use syscall::unshare_network;
pub use tree::Tree;
