//! systemd's D-Bus interface (org.freedesktop.systemd1(5)), on the bus's socket: a pod has no systemctl.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use zbus::proxy::{Builder, CacheProperties};
use zbus::{Connection, OwnedObjectPath, Proxy};

use crate::paths::Root;

const BUS: &str = "/run/dbus/system_bus_socket";
const SERVICE: &str = "org.freedesktop.systemd1";
/// How often a job is looked at.
const PAUSE: Duration = Duration::from_millis(100);

/// Restarts the one of `units` that the node has, and waits until that is done.
pub async fn restart(root: &Root, units: &[&str]) -> Result<()> {
    let address = format!("unix:path={}", root.at(BUS).display());
    let connection = zbus::connection::Builder::address(address.as_str()).build();
    let connection = connection.await.with_context(|| {
        format!("cannot reach systemd at {BUS}: on a node without systemd, give --restart-command")
    })?;
    let manager = Builder::<Proxy>::new(&connection)
        .destination(SERVICE)
        .path("/org/freedesktop/systemd1")
        .interface("org.freedesktop.systemd1.Manager")
        .build()
        .await?;
    let (name, unit) = choose(&connection, &manager, units).await?;
    let context = || format!("systemd could not restart {name}: `journalctl -u {name}` says why");
    let _job: OwnedObjectPath =
        manager.call("RestartUnit", &(name, "replace")).await.with_context(context)?;
    loop {
        let (job, _): (u32, OwnedObjectPath) = unit.get_property("Job").await.with_context(context)?;
        if job == 0 {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    match state(&unit, "ActiveState").await?.as_str() {
        "active" | "activating" | "reloading" => Ok(()),
        other => bail!("{name} is {other} after its restart: `journalctl -u {name}` says why"),
    }
}

/// The unit that runs, or else the one that is installed.
async fn choose<'a>(
    connection: &Connection,
    manager: &Proxy<'_>,
    units: &[&'a str],
) -> Result<(&'a str, Proxy<'static>)> {
    let mut installed = None;
    for name in units {
        let path: OwnedObjectPath =
            manager.call("LoadUnit", name).await.with_context(|| format!("systemd does not know {name}"))?;
        let unit: Proxy<'static> = Builder::new(connection)
            .destination(SERVICE)
            .path(path)
            .interface("org.freedesktop.systemd1.Unit")
            // It changes while we wait for it.
            .cache_properties(CacheProperties::No)
            .build()
            .await?;
        if state(&unit, "ActiveState").await? == "active" {
            return Ok((name, unit));
        }
        if installed.is_none() && state(&unit, "LoadState").await? == "loaded" {
            installed = Some((*name, unit));
        }
    }
    installed.with_context(|| {
        format!(
            "systemd has no unit {}: give --restart-command with what restarts containerd",
            units.join(" or ")
        )
    })
}

async fn state(unit: &Proxy<'_>, property: &str) -> Result<String> {
    unit.get_property(property)
        .await
        .with_context(|| format!("systemd does not tell the {property} of a unit"))
}
