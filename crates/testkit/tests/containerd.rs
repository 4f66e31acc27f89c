//! Containers under containerd 1.7 and 2.1, by `ctr`: each test has a containerd of its own and leaves nothing behind.

#[path = "containerd/basics.rs"]
mod basics;
#[path = "containerd/denials.rs"]
mod denials;
#[path = "containerd/files.rs"]
mod files;
#[path = "containerd/grants.rs"]
mod grants;
#[path = "containerd/images.rs"]
mod images;
#[path = "containerd/life.rs"]
mod life;
#[path = "containerd/limits.rs"]
mod limits;
#[path = "containerd/linked.rs"]
mod linked;
#[path = "containerd/listening.rs"]
mod listening;
#[path = "containerd/names.rs"]
mod names;
#[path = "containerd/native.rs"]
mod native;
#[path = "containerd/network.rs"]
mod network;
#[path = "containerd/node.rs"]
mod node;
#[path = "containerd/observed.rs"]
mod observed;
#[path = "containerd/pod.rs"]
mod pod;
#[path = "containerd/prewarming.rs"]
mod prewarming;
#[path = "containerd/profile.rs"]
mod profile;
#[path = "containerd/sandboxes.rs"]
mod sandboxes;
#[path = "containerd/signed.rs"]
mod signed;
#[path = "containerd/streams.rs"]
mod streams;
#[path = "containerd/traps.rs"]
mod traps;
#[path = "containerd/volumes.rs"]
mod volumes;
#[path = "containerd/web.rs"]
mod web;
