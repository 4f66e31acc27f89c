//! Opening files: regular files and folders, and nothing else that a volume may hold.
//!
//! A FIFO makes whoever opens it wait for the other end, and a guest's thread with it: no other request, no timeout, no
//! stream of the guest would go on. Devices cannot be opened on any mount of a guest, sockets by nobody. So what is special
//! is looked for before it is opened, in every release of WASI, and access to it denied.

mod p1;
mod p2;
mod p3;
mod room;

pub(super) use p1::shadow as p1;
pub(super) use p2::shadow as p2;
pub(super) use p3::shadow as p3;
pub(super) use room::Room;
