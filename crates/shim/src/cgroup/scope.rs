//! The scope unit of a container on a node whose kubelet uses the systemd driver.
//!
//! systemd owns the tree there. A directory that it does not know holds no controllers: whenever it arranges the slice
//! above anew, it switches off those that none of its own units needs, and the container's limits are gone. So the
//! directory is registered, as a scope around the process that was born in it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use dbus::wire::{Method, Writer};
use dbus::{Bus, Failed, SYSTEM};

use super::Limits;
use super::cpuset;
use super::v2;

/// There when systemd is the node's init: sd_booted(3).
const BOOTED: &str = "/run/systemd/system";

const START: Method<'static> = Method {
    destination: "org.freedesktop.systemd1",
    path: "/org/freedesktop/systemd1",
    interface: "org.freedesktop.systemd1.Manager",
    member: "StartTransientUnit",
};

const CHANGE: Method<'static> = Method { member: "SetUnitProperties", ..START };

/// The answer while a scope of the same name is being taken away.
const EXISTS: &str = "org.freedesktop.systemd1.UnitExists";
/// How long that may take.
const TAKING_AWAY: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(10);

/// No limit, in systemd's properties.
const INFINITY: u64 = u64::MAX;

/// Files that a spec may set by themselves, and the properties that systemd would write to them.
const UNIFIED: [(&str, &str); 4] = [
    ("memory.min", "MemoryMin"),
    ("memory.low", "MemoryLow"),
    ("memory.high", "MemoryHigh"),
    ("memory.swap.max", "MemorySwapMax"),
];

/// Whether systemd is there to be told.
pub fn needed() -> bool {
    Path::new(BOOTED).exists()
}

/// A scope: `cri-containerd-<id>.scope` below a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    pub unit: String,
    pub slice: String,
}

impl Scope {
    /// Registers the scope around a process, and waits until systemd has made it. It goes by itself when its last
    /// process has ended.
    pub async fn register(&self, pid: i32, limits: &Limits) -> Result<()> {
        self.start(pid, limits).await.with_context(|| format!("systemd does not make {}", self.unit))
    }

    /// Tells systemd of other limits: it would write those that it knows to the scope's files again.
    pub async fn change(&self, limits: &Limits) -> Result<()> {
        let mut body = Writer::default();
        body.string(&self.unit);
        // Until the next boot: the scope is gone before.
        body.u32(1);
        body.array(8, |properties| self::limits(properties, limits));
        let mut bus = Bus::system(SYSTEM.as_ref()).await?;
        let changed = bus.call(&CHANGE, "sba(sv)", body).await;
        changed.map(drop).with_context(|| format!("systemd does not change {}", self.unit))
    }

    async fn start(&self, pid: i32, limits: &Limits) -> Result<()> {
        let mut bus = Bus::system(SYSTEM.as_ref()).await?;
        bus.listen(&format!(
            "type='signal',sender='{}',interface='{}',member='JobRemoved',arg2='{}'",
            START.destination, START.interface, self.unit
        ))
        .await?;
        let deadline = tokio::time::Instant::now() + TAKING_AWAY;
        let job = loop {
            match bus.call(&START, "ssa(sv)a(sa(sv))", self.body(pid, limits)).await {
                Ok(reply) => break reply.body().string()?,
                Err(error) => {
                    let taken = error.downcast_ref::<Failed>().is_some_and(|failed| failed.name == EXISTS);
                    if !taken || tokio::time::Instant::now() > deadline {
                        return Err(error);
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        };
        loop {
            let removed = bus.signal("JobRemoved").await?;
            let mut body = removed.body();
            let (_id, path, _unit, result) = (body.u32()?, body.string()?, body.string()?, body.string()?);
            match result.as_str() {
                _ if path != job => {}
                "done" => return Ok(()),
                result => bail!("its job ended as {result:?}"),
            }
        }
    }

    /// Name, mode, properties; no auxiliary units.
    fn body(&self, pid: i32, limits: &Limits) -> Writer {
        let mut body = Writer::default();
        body.string(&self.unit);
        body.string("fail");
        body.array(8, |properties| {
            text(properties, "Description", "A container of run-wasm");
            text(properties, "Slice", &self.slice);
            // One that the kernel killed for want of memory would else stay as failed, and keep its name.
            text(properties, "CollectMode", "inactive-or-failed");
            flag(properties, "DefaultDependencies", false);
            // What is below and in it is ours to arrange; all controllers reach it.
            for name in ["Delegate", "CPUAccounting", "MemoryAccounting", "TasksAccounting"] {
                flag(properties, name, true);
            }
            self::limits(properties, limits);
            property(properties, "PIDs", "au", |pids| pids.array(4, |pids| pids.u32(pid.unsigned_abs())));
        });
        body.array(8, |_| {});
        body
    }
}

fn limits(properties: &mut Writer, limits: &Limits) {
    for (name, value) in figures(limits) {
        property(properties, name, "t", |value_of| value_of.u64(value));
    }
    for (_, name, list) in limits.cpuset.settings() {
        let mask = cpuset::mask(list).unwrap_or_default();
        property(properties, name, "ay", |bytes| bytes.array(1, |bytes| bytes.raw(&mask)));
    }
}

/// The limits as systemd's properties. It has to know them, because it writes its own idea of them to the scope's files;
/// a property that is not named would be its default.
fn figures(limits: &Limits) -> Vec<(&'static str, u64)> {
    let mut figures = vec![
        ("MemoryMax", limits.memory.unwrap_or(INFINITY)),
        ("CPUWeight", v2::weight(limits.cpu.shares)),
        (
            "TasksMax",
            limits
                .pids
                .and_then(|pids| u64::try_from(pids).ok())
                .filter(|pids| *pids > 0)
                .unwrap_or(INFINITY),
        ),
    ];
    if let Some(quota) = limits.cpu.quota {
        // It keeps whole percents of a processor: what is between them is rounded up, so that the exact figure, which is
        // written to the file itself, is never above.
        let percents = (quota.saturating_mul(100)).div_ceil(limits.cpu.period.max(1));
        figures.push(("CPUQuotaPerSecUSec", percents.saturating_mul(10_000)));
        figures.push(("CPUQuotaPeriodUSec", limits.cpu.period));
    }
    for (file, name) in UNIFIED {
        if let Some(value) = limits.unified.get(file) {
            // "max", or a number: the kernel has refused anything else.
            figures.push((name, value.trim().parse().unwrap_or(INFINITY)));
        }
    }
    figures
}

fn property(properties: &mut Writer, name: &str, kind: &str, value: impl FnOnce(&mut Writer)) {
    properties.structure(|property| {
        property.string(name);
        property.signature(kind);
        value(property);
    });
}

fn text(properties: &mut Writer, name: &str, value: &str) {
    property(properties, name, "s", |property| property.string(value));
}

fn flag(properties: &mut Writer, name: &str, value: bool) {
    property(properties, name, "b", |property| property.u32(value.into()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use grants::Cpu;

    #[test]
    fn a_limit_that_is_not_set_is_told_as_infinite() {
        let figures = figures(&Limits::default());
        assert_eq!(figures, [("MemoryMax", INFINITY), ("CPUWeight", 39), ("TasksMax", INFINITY)]);
    }

    #[test]
    fn what_the_spec_sets_by_file_is_told_too() {
        let unified = [("memory.swap.max", "0"), ("memory.high", "max"), ("memory.oom.group", "1")];
        let unified = unified.map(|(file, value)| (file.to_owned(), value.to_owned())).into();
        let figures = figures(&Limits { unified, ..Limits::default() });
        assert_eq!(figures.get(3..), Some([("MemoryHigh", INFINITY), ("MemorySwapMax", 0)].as_slice()));
    }

    #[test]
    fn a_quota_between_two_percents_is_rounded_up() {
        let cpu = Cpu { quota: Some(12_345), period: 50_000, shares: 2 };
        let figures = figures(&Limits { memory: Some(1 << 20), cpu, pids: Some(7), ..Limits::default() });
        assert!(figures.contains(&("CPUQuotaPerSecUSec", 250_000)), "{figures:?}");
        assert!(figures.contains(&("CPUQuotaPeriodUSec", 50_000)), "{figures:?}");
        assert!(
            figures.contains(&("MemoryMax", 1 << 20)) && figures.contains(&("TasksMax", 7)),
            "{figures:?}"
        );
    }
}
