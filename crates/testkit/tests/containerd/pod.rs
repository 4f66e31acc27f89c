//! What is the pod's and not one container's.

use anyhow::{Result, ensure};
use serde_json::json;
use testkit::{Bundle, Generation, Nest, alone};

/// Runs a shell command in the nest; what it prints.
fn sh(nest: &Nest, command: &str) -> Result<String> {
    let output = nest.command("sh").args(["-c", command]).output()?;
    ensure!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

#[allow(clippy::indexing_slicing, reason = "a test fails by panicking")]
/// The bundle of a pod's sandbox in the network namespace `/run/pod`, with these parameters of the kernel.
fn sandbox<'a>(nest: &'a Nest, parameters: serde_json::Value) -> Result<Bundle<'a>> {
    Bundle::of(nest, "sandbox", "hello.wasm")?.spec(|spec| {
        spec["annotations"] =
            json!({"io.kubernetes.cri.container-type": "sandbox", "io.kubernetes.cri.sandbox-id": "sandbox"});
        spec["linux"]["namespaces"] = json!([{"type": "network", "path": "/run/pod"}]);
        spec["linux"]["sysctl"] = parameters;
    })
}

#[test]
fn the_parameters_of_a_pods_network_are_set_there_and_nowhere_else() -> Result<()> {
    const PORT: &str = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start";
    alone(|nest| {
        sh(nest, "touch /run/pod && unshare --net=/run/pod true")?;
        let before = sh(nest, PORT)?;
        let bundle = sandbox(
            nest,
            json!({"net.ipv4.ip_unprivileged_port_start": "7", "kernel.shm_rmid_forced": "1"}),
        )?;
        let shim = bundle.shim(Generation::V3)?;
        shim.create()?;
        assert_eq!(sh(nest, &format!("nsenter --net=/run/pod {PORT}"))?, "7");
        assert_eq!((sh(nest, PORT)?, before.as_str()), (before.clone(), "1024"));
        shim.delete()?;
        shim.shutdown()?;

        let bundle = sandbox(nest, json!({"net.ipv4.no_such_parameter": "1"}))?;
        let shim = bundle.shim(Generation::V3)?;
        let error = format!("{:#}", shim.create().unwrap_err());
        assert!(error.contains("/proc/sys/net/ipv4/no_such_parameter"), "{error}");
        shim.shutdown()?;
        sh(nest, "umount /run/pod && rm /run/pod").map(drop)
    })
}

#[test]
fn the_parameters_of_the_node_are_not_the_pods_to_set() -> Result<()> {
    alone(|nest| {
        for (name, network) in [("vm.swappiness", json!("/run/pod")), ("net.core.somaxconn", json!(null))] {
            let bundle = sandbox(nest, json!({name: "1"}))?.spec(|spec| {
                if network.is_null() {
                    spec["linux"]["namespaces"] = json!([]);
                }
            })?;
            let shim = bundle.shim(Generation::V3)?;
            let error = format!("{:#}", shim.create().unwrap_err());
            assert!(error.contains(&format!("linux.sysctl of the spec: {name} ")), "{error}");
            shim.shutdown()?;
        }
        Ok(())
    })
}
