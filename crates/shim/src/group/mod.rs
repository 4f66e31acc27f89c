//! Shared mode: the hosts of trust groups, and the seats that containers have in them.
//!
//! A group has a host as soon as it has a container, and another one when that is full. A host that crashes takes its own
//! containers with it; the next container of the group gets a fresh one.

mod ceiling;
mod host;
mod seat;
mod sockets;

use std::collections::HashMap;
use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::host::jail::Jail;
use anyhow::{Context, Result, bail};
use grants::TrustGroup;

use crate::manager::Notes;
use ceiling::Claim;
use host::SharedHost;
pub use seat::Seat;

/// Entries of the kernel's table of mappings that one seat takes, with room to spare: a stack and its guard whether somebody
/// sits there or not, up to four for its memory, a table. See docs/decisions/0010-shared-mode.md.
const MAPPINGS: u32 = 8;

/// Those that the host itself takes, and its code.
const OWN_MAPPINGS: u32 = 1500;

/// The most containers of one host, however large the table is: each has 4 GiB of address space.
const MOST: u32 = 12_000;

/// Seats of a group's first host. Most groups are small, and a free seat costs its host some 1,200 bytes and the kernel 800.
const FIRST: u32 = 512;

/// The least that is worth a host.
const FEWEST: u32 = 16;

/// What a new seat needs.
#[derive(Debug)]
pub struct Guest<'a> {
    pub group: TrustGroup,
    /// The jail of the group's host, should there be none yet.
    pub jail: Jail,
    /// The cgroup that the container would have.
    pub cgroups_path: Option<&'a str>,
    pub memory: Option<u64>,
    pub shares: u64,
    /// How long a host stays without a container.
    pub idle_exit: Duration,
}

/// The hosts of one manager.
#[derive(Debug)]
pub struct Groups {
    notes: Notes,
    hosts: Mutex<HashMap<TrustGroup, Vec<Arc<SharedHost>>>>,
    /// One at a time starts hosts: a hundred containers that arrive at once share one.
    starting: tokio::sync::Mutex<()>,
    tags: AtomicU32,
}

impl Groups {
    /// Those of a manager that takes such notes.
    pub fn new(notes: Notes) -> Groups {
        Groups {
            notes,
            hosts: Mutex::default(),
            starting: tokio::sync::Mutex::default(),
            tags: AtomicU32::new(0),
        }
    }

    /// A seat in a host of the guest's group, which is started if there is none.
    pub async fn seat(self: &Arc<Self>, guest: Guest<'_>) -> Result<Seat> {
        if let Some(seat) = self.free_seat(&guest) {
            return Ok(seat);
        }
        let _alone = self.starting.lock().await;
        if let Some(seat) = self.free_seat(&guest) {
            return Ok(seat);
        }
        let seats = self.next(&guest.group)?;
        let host = SharedHost::start(&guest, seats, &self.notes)
            .await
            .context("the engine host of this trust group")?;
        self.hosts().entry(guest.group.clone()).or_default().push(host.clone());
        let (groups, group) = (self.clone(), guest.group.clone());
        let supervised = host.clone();
        tokio::spawn(async move {
            supervised.supervise().await;
            groups.forget(&group, &supervised);
        });
        sit(&host, self.tag(), &guest).context("the engine host ended as soon as it had begun")
    }

    /// Ends all hosts.
    pub async fn end(&self) {
        let hosts: Vec<_> = self.hosts().drain().flat_map(|(_, hosts)| hosts).collect();
        for host in hosts {
            host.end("the manager ends").await;
        }
    }

    /// How many seats the next host of a group has.
    fn next(&self, group: &TrustGroup) -> Result<u32> {
        let largest = self.hosts().get(group).and_then(|hosts| hosts.iter().map(|host| host.seats()).max());
        Ok(seats(largest, most()?))
    }

    fn free_seat(&self, guest: &Guest<'_>) -> Option<Seat> {
        let tag = self.tag();
        let hosts = self.hosts();
        hosts.get(&guest.group)?.iter().find_map(|host| sit(host, tag, guest))
    }

    /// A number that no other container of this manager has: 0 means none.
    fn tag(&self) -> u32 {
        self.tags.fetch_add(1, Ordering::Relaxed).wrapping_add(1).max(1)
    }

    fn forget(&self, group: &TrustGroup, ended: &Arc<SharedHost>) {
        let mut hosts = self.hosts();
        if let Some(of_group) = hosts.get_mut(group) {
            of_group.retain(|host| !Arc::ptr_eq(host, ended));
            if of_group.is_empty() {
                hosts.remove(group);
            }
        }
    }

    fn hosts(&self) -> MutexGuard<'_, HashMap<TrustGroup, Vec<Arc<SharedHost>>>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn sit(host: &Arc<SharedHost>, tag: u32, guest: &Guest<'_>) -> Option<Seat> {
    host.sit(tag.to_string(), tag, Claim { memory: guest.memory, shares: guest.shares })
}

/// Twice as many as those of the group's largest host, which are all taken; never more than `most`.
fn seats(largest: Option<u32>, most: u32) -> u32 {
    most.min(largest.map_or(FIRST, |seats| seats.saturating_mul(2)))
}

/// How many containers a host has room for at most, by the kernel's table of mappings.
fn most() -> Result<u32> {
    let file = "/proc/sys/vm/max_map_count";
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
    let mappings: u32 = text.trim().parse().with_context(|| format!("{file} holds no number"))?;
    let seats = (mappings.saturating_sub(OWN_MAPPINGS) / MAPPINGS).min(MOST);
    if seats < FEWEST {
        bail!(
            "vm.max_map_count is {mappings}, which leaves room for {seats} containers in a shared host: raise it to 65530 or more"
        );
    }
    Ok(seats)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_grows_by_hosts_that_are_twice_as_large_up_to_what_the_kernel_bears() {
        let mut hosts = Vec::new();
        while hosts.iter().sum::<u32>() < 20_000 {
            hosts.push(seats(hosts.last().copied(), 8003));
        }
        assert_eq!(hosts, [512, 1024, 2048, 4096, 8003, 8003]);
        assert_eq!(seats(None, 100), 100, "a small table bounds the first one, too");
    }
}
