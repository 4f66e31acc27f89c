//! A node that is out of order: its disk, its config, the specs that reach it.

use anyhow::{Result, ensure};
use testkit::{Bundle, Generation, Nest, alone};

use super::{refused, works};

/// Runs a shell command in the nest.
fn sh(nest: &Nest, command: &str) -> Result<()> {
    let status = nest.command("sh").args(["-c", command]).status()?;
    ensure!(status.success(), "{command}: {status}");
    Ok(())
}

/// A container whose AOT cache is a file system that was mounted with `options` is refused for a reason with these words.
fn cache_is_refused(options: &str, words: &[&str]) -> Result<()> {
    alone(|nest| {
        sh(nest, &format!("mkdir /run/cache && mount -t tmpfs -o {options} tmpfs /run/cache"))?;
        let bundle = Bundle::of(nest, "cached", "hello.wasm")?.config("[cache]\ndir = \"/run/cache\"\n")?;
        let shim = bundle.shim(Generation::V3)?;
        let created = shim.create();
        shim.shutdown()?;
        sh(nest, "umount /run/cache")?;
        let Err(error) = created else { anyhow::bail!("the container was created") };
        let message = format!("{error:#}");
        for word in words {
            ensure!(message.contains(word), "there is no {word:?} in: {message}");
        }
        works(nest, "cached")
    })
}

#[test]
fn a_read_only_cache_is_named() -> Result<()> {
    cache_is_refused("ro", &["/run/cache", "cache.dir", "Read-only"])
}

#[test]
fn a_full_disk_is_named() -> Result<()> {
    cache_is_refused("size=64k", &["/run/cache", "No space left"])
}

#[test]
fn a_cache_that_cannot_be_made_is_named() -> Result<()> {
    alone(|nest| {
        let bundle =
            Bundle::of(nest, "cached", "hello.wasm")?.config("[cache]\ndir = \"/proc/nowhere\"\n")?;
        refused(bundle, nest, &["/proc/nowhere", "cache.dir"])
    })
}

#[test]
fn a_config_with_an_unknown_key_is_refused_with_its_line() -> Result<()> {
    alone(|nest| {
        let bundle = Bundle::of(nest, "configured", "hello.wasm")?.config("\n[cache]\nfolder = \"/x\"\n")?;
        refused(bundle, nest, &["node.toml", "line 3", "folder"])
    })
}

#[test]
fn a_config_that_is_gone_is_named() -> Result<()> {
    alone(|nest| {
        let bundle = Bundle::of(nest, "configured", "hello.wasm")?.config("")?;
        std::fs::remove_file(bundle.path().join("node.toml"))?;
        refused(bundle, nest, &["node.toml", "does not exist"])
    })
}

#[test]
fn an_unknown_annotation_is_refused_with_the_one_that_was_meant() -> Result<()> {
    alone(|nest| {
        let annotations = serde_json::json!({"run.wasm/egres": "10.0.0.1:80"});
        let bundle =
            Bundle::of(nest, "annotated", "hello.wasm")?.spec(|spec| spec["annotations"] = annotations)?;
        refused(bundle, nest, &["run.wasm/egres", "run.wasm/egress"])
    })
}

#[test]
fn a_volume_that_is_gone_is_named() -> Result<()> {
    alone(|nest| {
        let mounts = serde_json::json!([{"destination": "/data", "source": "/no/such/volume", "type": "bind", "options": ["rbind"]}]);
        let bundle = Bundle::of(nest, "mounted", "hello.wasm")?.spec(|spec| spec["mounts"] = mounts)?;
        refused(bundle, nest, &["/no/such/volume"])
    })
}

#[test]
fn the_kernels_own_files_are_no_volume() -> Result<()> {
    for source in ["/proc", "/sys", "/proc/sys/kernel/core_pattern"] {
        alone(|nest| {
            let mounts = serde_json::json!([{"destination": "/data", "source": source, "type": "bind", "options": ["rbind"]}]);
            let bundle = Bundle::of(nest, "mounted", "hello.wasm")?.spec(|spec| spec["mounts"] = mounts)?;
            refused(bundle, nest, &[source])
        })?;
    }
    Ok(())
}

#[test]
fn a_network_namespace_that_is_gone_is_named() -> Result<()> {
    alone(|nest| {
        let namespaces = serde_json::json!([{"type": "network", "path": "/run/netns/gone"}]);
        let bundle = Bundle::of(nest, "netted", "hello.wasm")?.spec(|spec| {
            spec["linux"]["namespaces"] = namespaces;
            // A container without any network need not have one to share a host.
            spec["annotations"] = serde_json::json!({"run.wasm/egress": "10.0.0.1:80"});
        })?;
        refused(bundle, nest, &["/run/netns/gone"])
    })
}

#[test]
fn a_spec_that_is_broken_before_the_shim_starts_is_named() -> Result<()> {
    for broken in ["", "{", "[1, 2]", "{\"ociVersion\": 7}"] {
        alone(|nest| {
            let bundle = Bundle::of(nest, "specified", "hello.wasm")?;
            bundle.write(broken.as_bytes())?;
            let start = bundle.call("start")?;
            ensure!(start.code != 0 && start.stderr.contains("config.json"), "{broken:?}: {start}");
            works(nest, "specified")
        })?;
    }
    Ok(())
}

#[test]
fn a_spec_that_is_broken_before_the_container_is_made_is_named() -> Result<()> {
    alone(|nest| {
        for (broken, word) in [("{\"ociVersion\": \"1.1.0\"}", "process"), ("no json", "config.json")] {
            let bundle = Bundle::of(nest, "specified", "hello.wasm")?;
            let shim = bundle.shim(Generation::V3)?;
            bundle.write(broken.as_bytes())?;
            let Err(error) = shim.create() else { anyhow::bail!("the container was created") };
            ensure!(format!("{error:#}").contains(word), "{error:#}");
            shim.shutdown()?;
        }
        works(nest, "specified")
    })
}
