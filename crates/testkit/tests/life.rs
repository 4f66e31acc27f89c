//! The life of a container between its start and its end, under containerd 1.7 and 2.1: exec, pause, resize, a containerd that
//! is away, a new release. Each test has a containerd of its own and leaves nothing behind.

#[path = "life/away.rs"]
mod away;
#[path = "life/exec.rs"]
mod exec;
#[path = "life/exec_ends.rs"]
mod exec_ends;
#[path = "life/pause.rs"]
mod pause;
#[path = "life/probes.rs"]
mod probes;
#[path = "life/resize.rs"]
mod resize;
#[path = "life/upgrade.rs"]
mod upgrade;
