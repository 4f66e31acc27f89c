//! Pods under containerd 1.7 and 2.1, by the calls of CRI that a kubelet makes: each test has a node of its own and leaves
//! nothing behind.

#[path = "cri/artifacts.rs"]
mod artifacts;
#[path = "cri/ends.rs"]
mod ends;
#[path = "cri/images.rs"]
mod images;
#[path = "cri/life.rs"]
mod life;
#[path = "cri/logs.rs"]
mod logs;
#[path = "cri/native.rs"]
mod native;
#[path = "cri/network.rs"]
mod network;
#[path = "cri/pods.rs"]
mod pods;
#[path = "cri/signed.rs"]
mod signed;
#[path = "cri/stats.rs"]
mod stats;
