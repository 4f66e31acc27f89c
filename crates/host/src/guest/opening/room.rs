//! How many files and sockets a container may have open where its process is not its own: there the kernel's limit is all
//! containers', and each has to be counted.

use grants::{Grants, Mode};
use wasmtime::component::ResourceTable;
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p2::{TcpSocket, UdpSocket};

/// The most that may be open at once; `None` where the kernel counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::guest) struct Room(Option<usize>);

impl Room {
    pub fn of(grants: &Grants) -> Room {
        let most = usize::try_from(grants.open_files()).unwrap_or(usize::MAX);
        Room((grants.mode() == Mode::Shared).then_some(most))
    }

    /// Whether nothing more may be opened.
    pub fn is_full(self, table: &mut ResourceTable) -> bool {
        let Some(most) = self.0 else { return false };
        let open = |entry: &&mut (dyn std::any::Any + Send)| {
            entry.is::<Descriptor>() || entry.is::<TcpSocket>() || entry.is::<UdpSocket>()
        };
        table.iter_mut().filter(open).count() >= most
    }
}
