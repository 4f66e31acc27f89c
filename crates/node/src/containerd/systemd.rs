//! systemd's D-Bus interface (org.freedesktop.systemd1(5)), on the bus's socket: a pod has no systemctl.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use zbus::connection::Builder as ConnectionBuilder;
use zbus::proxy::{Builder, CacheProperties};
use zbus::{Connection, OwnedObjectPath, Proxy};

use crate::paths::Root;

const BUS: &str = "/run/dbus/system_bus_socket";
/// systemd's own socket, by which `systemctl` does without a bus: images of nodes may have none.
const PRIVATE: &str = "/run/systemd/private";
const SERVICE: &str = "org.freedesktop.systemd1";
/// How often a job is looked at.
const PAUSE: Duration = Duration::from_millis(100);

/// A unit of the node's systemd.
struct Unit<'a> {
    name: &'a str,
    proxy: Proxy<'static>,
    manager: Proxy<'static>,
}

/// Restarts the one of `units` that the node has, and waits until that is done.
pub async fn restart(root: &Root, units: &[&str]) -> Result<()> {
    let Unit { name, proxy, manager } = choose(root, units).await?;
    let context = || format!("systemd could not restart {name}: `journalctl -u {name}` says why");
    // A unit that was started too often, as one with a broken config is, would be refused.
    let () = manager.call("ResetFailedUnit", &name).await.with_context(context)?;
    let _job: OwnedObjectPath =
        manager.call("RestartUnit", &(name, "replace")).await.with_context(context)?;
    while is_at_work(&proxy).await.with_context(context)? {
        tokio::time::sleep(PAUSE).await;
    }
    match state(&proxy, "ActiveState").await?.as_str() {
        "active" | "activating" | "reloading" => Ok(()),
        other => bail!("{name} is {other} after its restart: `journalctl -u {name}` says why"),
    }
}

/// Whether the one of `units` that the node has is being started or stopped.
pub async fn has_job(root: &Root, units: &[&str]) -> Result<bool> {
    is_at_work(&choose(root, units).await?.proxy).await
}

/// Whether systemd has a job for a unit.
async fn is_at_work(unit: &Proxy<'_>) -> Result<bool> {
    let (job, _): (u32, OwnedObjectPath) = unit.get_property("Job").await?;
    Ok(job != 0)
}

/// Whether there is something to restart: systemd answers and has one of `units` in use.
pub async fn check(root: &Root, units: &[&str]) -> Result<()> {
    choose(root, units).await.map(drop)
}

async fn connect(root: &Root) -> Result<Connection> {
    let address = |socket: &str| format!("unix:path={}", root.at(socket).display());
    match ConnectionBuilder::address(address(BUS).as_str()).build().await {
        Ok(connection) => Ok(connection),
        Err(error) => match ConnectionBuilder::address(address(PRIVATE).as_str()).p2p().build().await {
            Ok(connection) => Ok(connection),
            Err(_) => Err(error).with_context(|| {
                format!(
                    "cannot reach systemd at {BUS}, nor at {PRIVATE}: on a node without systemd, give --restart-command"
                )
            }),
        },
    }
}

/// The unit that is in use: see [`rank`].
async fn choose<'a>(root: &Root, units: &[&'a str]) -> Result<Unit<'a>> {
    let connection = connect(root).await?;
    let manager = proxy(&connection, OBJECT, "org.freedesktop.systemd1.Manager").await?;
    let mut chosen: Option<(u8, &'a str, Proxy<'static>)> = None;
    for name in units {
        let path: OwnedObjectPath =
            manager.call("LoadUnit", name).await.with_context(|| format!("systemd does not know {name}"))?;
        let unit = proxy(&connection, path.as_str(), "org.freedesktop.systemd1.Unit").await?;
        let rank = rank(&state(&unit, "ActiveState").await?, &state(&unit, "UnitFileState").await?);
        if let Some(rank) = rank
            && chosen.as_ref().is_none_or(|(best, ..)| rank < *best)
        {
            chosen = Some((rank, *name, unit));
        }
    }
    let (_, name, proxy) = chosen.with_context(|| {
        format!(
            "systemd neither runs nor starts a unit {}: give --restart-command with what restarts containerd",
            units.join(" or ")
        )
    })?;
    Ok(Unit { name, proxy, manager })
}

/// How much speaks for a unit, the least number most: one that runs, one on its way, one that could not, one that starts with the
/// machine. A node may have the units of two roles: one that is merely there is none of these.
fn rank(active: &str, file: &str) -> Option<u8> {
    match (active, file) {
        ("active" | "reloading" | "refreshing", _) => Some(0),
        ("activating" | "deactivating" | "maintenance", _) => Some(1),
        ("failed", _) => Some(2),
        (_, "enabled") => Some(3),
        _ => None,
    }
}

const OBJECT: &str = "/org/freedesktop/systemd1";

async fn proxy(connection: &Connection, path: &str, interface: &'static str) -> Result<Proxy<'static>> {
    let proxy = Builder::<Proxy<'static>>::new(connection)
        .destination(SERVICE)
        .path(path.to_owned())
        .interface(interface)
        // What a unit is changes while we wait for it.
        .cache_properties(CacheProperties::No)
        .build()
        .await;
    proxy.with_context(|| format!("systemd has no object {path}"))
}

async fn state(unit: &Proxy<'_>, property: &str) -> Result<String> {
    unit.get_property(property)
        .await
        .with_context(|| format!("systemd does not tell the {property} of a unit"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The best of units, by what is known of each.
    fn best<'a>(units: &[(&'a str, &str, &str)]) -> Option<&'a str> {
        let ranked = units.iter().filter_map(|(name, active, file)| Some((rank(active, file)?, *name)));
        ranked.min_by_key(|(rank, _)| *rank).map(|(_, name)| name)
    }

    #[test]
    fn the_unit_in_use_is_not_the_one_that_is_merely_there() {
        for active in ["active", "activating", "reloading", "deactivating", "failed"] {
            let worker =
                [("rke2-server.service", "inactive", "disabled"), ("rke2-agent.service", active, "enabled")];
            assert_eq!(best(&worker), Some("rke2-agent.service"), "{active}");
        }
        let stopped =
            [("rke2-server.service", "inactive", "disabled"), ("rke2-agent.service", "inactive", "enabled")];
        assert_eq!(best(&stopped), Some("rke2-agent.service"));
        let was_server =
            [("rke2-server.service", "failed", "disabled"), ("rke2-agent.service", "active", "enabled")];
        assert_eq!(best(&was_server), Some("rke2-agent.service"));
        assert_eq!(best(&[("containerd.service", "inactive", "static")]), None);
        assert_eq!(best(&[("containerd.service", "inactive", "")]), None);
    }

    #[tokio::test]
    async fn a_node_without_systemd_is_told_of_before_anything_is_done() {
        let folder = tempfile::tempdir().unwrap();
        let error = check(&Root::new(folder.path()), &["containerd.service"]).await.unwrap_err();
        assert!(format!("{error:#}").contains("give --restart-command"), "{error:#}");
    }
}
