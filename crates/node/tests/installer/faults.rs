//! Nodes that are not as an installer would like them.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use crate::nest::{CONFIG, CURRENT, DROP_IN, Nest, V1_7_BARE, eventually, fail, succeed};
use crate::on_each_containerd;

on_each_containerd!(
    a_second_time_changes_nothing,
    a_plan_changes_nothing,
    a_full_disk,
    a_full_disk_of_the_config,
    a_read_only_config,
    a_malformed_config,
    a_handler_of_another_runtime,
    an_older_release,
    a_config_that_was_reverted,
    a_config_that_was_reverted_before_a_release_that_fails,
    a_containerd_that_does_not_come_back,
    a_way_back_that_fails,
    a_run_that_is_killed_while_containerd_starts,
    a_drop_in_that_was_broken,
    a_probe_that_knows_what_is_to_be,
    a_cache_without_exec,
    a_broken_node_config,
    running_pods_keep_it_installed,
    later_edits_stay,
    pods_run_by_what_was_installed,
);

/// Its CRI would not start with our handlers alone.
#[test]
fn a_containerd_1_7_that_has_runc_by_itself_keeps_it() -> Result<()> {
    let nest = Nest::new(V1_7_BARE)?;
    nest.install(&[])?;
    ensure!(nest.knows_us()? && nest.verify()?.is_empty());
    nest.uninstall()?;
    is_installed_nowhere(&nest)
}

/// The node is as it was before anything was done.
fn is_untouched(nest: &Nest, config: &str) -> Result<()> {
    ensure!(nest.config()? == config, "the config is another: {}", nest.config()?);
    ensure!(
        !nest.is_there(DROP_IN)
            && !nest.is_there(CURRENT)
            && !nest.is_there("/etc/run-wasm/config-shared.toml")
    );
    ensure!(nest.leftovers()?.is_empty(), "{}", nest.leftovers()?);
    nest.witness().map(drop)
}

fn install_fails(nest: &Nest, more: &[&str]) -> Result<String> {
    let binaries = nest.path("bin").display().to_string();
    fail(nest.installer(&[&["install", "--binaries", &binaries], more].concat()))
}

fn a_second_time_changes_nothing(nest: &Nest) -> Result<()> {
    let witness = nest.witness()?;
    ensure!(nest.install(&[])?.contains("installed; containerd was restarted"));
    let state = || nest.sh("find /etc/containerd /etc/run-wasm /opt/run-wasm -printf '%p %i %T@\\n' | sort");
    let (before, restarts) = (state()?, nest.restarts());
    ensure!(nest.install(&[])?.contains("nothing to do"));
    ensure!((before, restarts) == (state()?, nest.restarts()));
    ensure!(nest.verify()?.is_empty());
    nest.uninstall()?;
    is_installed_nowhere(nest)?;
    ensure!(nest.witness()? == witness);
    Ok(())
}

/// Like `is_untouched`, but the programs stay while the task runs.
fn is_installed_nowhere(nest: &Nest) -> Result<()> {
    ensure!(nest.config()? == nest.version.config && !nest.is_there(DROP_IN) && !nest.knows_us()?);
    Ok(())
}

fn a_plan_changes_nothing(nest: &Nest) -> Result<()> {
    let state = || nest.sh("find /etc /opt /var/lib/run-wasm -printf '%p %i %T@\\n' 2>/dev/null | sort");
    let before = state()?;
    let binaries = nest.path("bin").display().to_string();
    let shown = succeed(nest.installer(&["plan", "--binaries", &binaries]))?;
    ensure!(
        shown.contains("+") && shown.contains("runtimes.run]") && shown.contains("restart containerd"),
        "{shown}"
    );
    ensure!(before == state()? && nest.restarts() == 1);
    Ok(())
}

fn a_full_disk(nest: &Nest) -> Result<()> {
    nest.sh("mkdir /opt/run-wasm && mount -t tmpfs -o size=70m tmpfs /opt/run-wasm")?;
    let told = install_fails(nest, &[])?;
    ensure!(told.contains("the disk of /opt/run-wasm has") && told.contains("make room"), "{told}");
    // What no look beforehand can see: it fills while we write.
    nest.sh(
        "mount -o remount,size=200m /opt/run-wasm && head -c 199m /dev/zero >/opt/run-wasm/filler || true",
    )?;
    let told = install_fails(nest, &[])?;
    ensure!(told.contains("make room") || told.contains("No space left"), "{told}");
    ensure!(nest.restarts() == 1);
    is_untouched(nest, nest.version.config)?;
    nest.sh("rm /opt/run-wasm/filler && mount -o remount,size=500m /opt/run-wasm")?;
    nest.install(&[]).map(drop)
}

fn a_full_disk_of_the_config(nest: &Nest) -> Result<()> {
    nest.sh("cp -a /etc/containerd /run/kept && mount -t tmpfs -o size=64k tmpfs /etc/containerd && cp -a /run/kept/. /etc/containerd/")?;
    nest.sh("head -c 1m /dev/zero >/etc/containerd/filler || true")?;
    let told = install_fails(nest, &[])?;
    ensure!(told.contains("No space left") && told.contains("nothing has changed on this node"), "{told}");
    ensure!(nest.restarts() == 1);
    is_untouched(nest, nest.version.config)?;
    nest.sh("rm /etc/containerd/filler")?;
    nest.install(&[]).map(drop)
}

fn a_read_only_config(nest: &Nest) -> Result<()> {
    nest.sh("mount --bind /etc/containerd /etc/containerd && mount -o remount,bind,ro /etc/containerd")?;
    let told = install_fails(nest, &[])?;
    ensure!(told.contains("/etc/containerd") && told.contains("read-only"), "{told}");
    is_untouched(nest, nest.version.config)
}

fn a_malformed_config(nest: &Nest) -> Result<()> {
    let broken = format!("{}\n[debug\n", nest.version.config);
    fs::write(nest.see(CONFIG), &broken)?;
    let line = broken.lines().count();
    let told = install_fails(nest, &[])?;
    ensure!(told.contains(&format!("/etc/containerd/config.toml, line {line}: ")), "{told}");
    ensure!(nest.restarts() == 1);
    is_untouched(nest, &broken)?;
    // TOML that containerd alone refuses.
    let wrong = format!("oom_score = \"high\"\n{}", nest.version.config);
    fs::write(nest.see(CONFIG), &wrong)?;
    let told = install_fails(nest, &[])?;
    ensure!(
        told.contains("the new config: containerd refuses it") && told.contains("nothing has changed"),
        "{told}"
    );
    ensure!(nest.restarts() == 1, "containerd was restarted with a config that it refuses");
    is_untouched(nest, &wrong)
}

fn a_handler_of_another_runtime(nest: &Nest) -> Result<()> {
    let theirs = nest.version.config.replace("runtimes.runc]", "runtimes.run]");
    fs::write(nest.see(CONFIG), &theirs)?;
    let told = install_fails(nest, &[])?;
    ensure!(told.contains("there is a handler `run` of another runtime (io.containerd.runc.v2)"), "{told}");
    is_untouched(nest, &theirs)
}

fn an_older_release(nest: &Nest) -> Result<()> {
    nest.install(&[])?;
    let old = fs::read_link(nest.see(CURRENT))?;
    let (restarts, newer) = (nest.restarts(), nest.path("newer").display().to_string());
    let told = succeed(nest.installer(&["install", "--binaries", &newer]))?;
    ensure!(told.contains("containerd goes on as it is"), "{told}");
    let new = fs::read_link(nest.see(CURRENT))?;
    ensure!(old != new && nest.restarts() == restarts && nest.verify()?.is_empty());
    ensure!(
        !nest.is_there(&format!("/opt/run-wasm/{}", old.display())),
        "the old release is there, and nobody runs it"
    );
    nest.witness().map(drop)
}

fn a_config_that_was_reverted(nest: &Nest) -> Result<()> {
    nest.install(&[])?;
    fs::write(nest.see(CONFIG), nest.version.config)?;
    let told = nest.verify()?;
    ensure!(told.contains("/etc/containerd/config.toml is not what was installed"), "{told}");
    ensure!(succeed(nest.installer(&["verify", "--repair"]))?.contains("repaired"));
    ensure!(nest.verify()?.is_empty());
    nest.witness().map(drop)
}

/// The old config on disk knows less than the containerd that runs: whoever goes back to it does not wait for what it cannot know.
fn a_config_that_was_reverted_before_a_release_that_fails(nest: &Nest) -> Result<()> {
    nest.install(&[])?;
    fs::write(nest.see(CONFIG), nest.version.config)?;
    fs::write(nest.see("/run/held"), "")?;
    let binaries = nest.path("bin").display().to_string();
    let told = fail(nest.installer(&["install", "--binaries", &binaries, "--restart-timeout", "5"]))?;
    ensure!(told.contains("containerd is not as it should be 5 s after its restart"), "{told}");
    nest.sh("rm /run/held")?;
    // On 2.1 the drop-in is whole, and held containerd back as well: the way back is ended by who comes next.
    nest.install(&[])?;
    ensure!(nest.verify()?.is_empty() && nest.leftovers()?.is_empty(), "{}", nest.leftovers()?);
    nest.witness().map(drop)
}

fn a_way_back_that_fails(nest: &Nest) -> Result<()> {
    fs::copy(env!("CARGO_BIN_EXE_run-wasm-node"), nest.path("bin/run-wasm-node"))?;
    fs::write(nest.see("/run/broken"), "")?;
    let told = install_fails(nest, &[])?;
    ensure!(told.contains("the node could not be put back as it was"), "{told}");
    let named = told.split('`').find(|part| part.ends_with("run-wasm-node verify --repair"));
    let program = named.and_then(|line| line.split(' ').next()).unwrap_or_default();
    ensure!(program.starts_with("/opt/run-wasm/") && nest.is_there(program), "{told}");
    nest.sh("rm /run/broken")?;
    let told = nest.sh(&format!(
        "{program} verify --repair --restart-command '{}' 2>&1 || true",
        nest.restart_command()
    ))?;
    ensure!(told.contains("putting the node back as it was") && told.contains("is not installed"), "{told}");
    is_untouched(nest, nest.version.config)
}

/// Whoever comes next lets it arrive: containerd 2 that is ended while it loads its tasks takes them for gone.
fn a_run_that_is_killed_while_containerd_starts(nest: &Nest) -> Result<()> {
    let witness = nest.witness()?;
    let patient = "\n[timeouts]\n  \"io.containerd.timeout.shim.load\" = \"60s\"\n";
    let config = format!("{}{patient}", nest.version.config);
    fs::write(nest.see(CONFIG), &config)?;
    nest.sh(&nest.restart_command())?;
    eventually("containerd answers", || Ok(nest.ctr(&["version"]).is_ok()))?;

    // A start lasts for as long as the shim stands still.
    let shim = nest.sh("pgrep -f '[i]d witness start'")?;
    nest.sh(&format!("kill -STOP {shim}"))?;
    let binaries = nest.path("bin").display().to_string();
    let mut run = nest.installer(&["install", "--binaries", &binaries]).spawn()?;
    eventually("containerd loads the task", || {
        let said = nest.sh("tail -n 1 /run/containerd.log")?;
        Ok(nest.restarts() == 3
            && ["connecting to shim", "runtime.v2.task"].iter().any(|it| said.contains(it)))
    })?;
    nest.sh("kill -KILL $(pgrep -x run-wasm-node)")?;
    run.wait()?;

    let mut repair = nest.installer(&["verify", "--repair"]);
    let mut repair = repair.stderr(Stdio::piped()).spawn()?;
    let mut told = BufReader::new(repair.stderr.take().context("no stderr")?).lines();
    let waits = told.by_ref().any(|line| line.is_ok_and(|line| line.contains("containerd may be starting")));
    ensure!(waits && nest.restarts() == 3, "{} restarts", nest.restarts());
    nest.sh(&format!("kill -CONT {shim}"))?;
    let told: Vec<String> = told.collect::<Result<_, _>>()?;
    repair.wait()?;
    ensure!(told.iter().any(|line| line.contains("run-wasm is not installed")), "{told:?}");
    is_untouched(nest, &config)?;
    ensure!(nest.witness()? == witness && nest.restarts() == 4);
    // A start that is cut short does not say this.
    let starts = || nest.sh("grep -c 'containerd successfully booted' /run/containerd.log");
    eventually("each start has come to its end", || Ok(starts()?.trim() == "4"))
}

fn a_drop_in_that_was_broken(nest: &Nest) -> Result<()> {
    nest.install(&[])?;
    if !nest.is_there(DROP_IN) {
        // containerd 1.7 has none.
        return Ok(());
    }
    let ours = fs::read(nest.see(DROP_IN))?;
    for broken in [&b"version = \xff\n"[..], b"[plugins\n"] {
        fs::write(nest.see(DROP_IN), broken)?;
        ensure!(!nest.verify()?.is_empty());
        ensure!(succeed(nest.installer(&["verify", "--repair"]))?.contains("repaired"));
        ensure!(fs::read(nest.see(DROP_IN))? == ours);
    }
    // One that somebody removes takes no containerd along.
    nest.sh(&format!("rm {DROP_IN}"))?;
    nest.sh(&nest.restart_command())?;
    eventually("containerd answers", || Ok(nest.ctr(&["version"]).is_ok()))?;
    nest.install(&[])?;
    ensure!(nest.verify()?.is_empty());
    Ok(())
}

fn a_probe_that_knows_what_is_to_be(nest: &Nest) -> Result<()> {
    let (old, new) = (nest.path("bin").display().to_string(), nest.path("newer").display().to_string());
    let config = nest.path("config.toml");
    fs::write(&config, "[limits]\nmemory = \"1GiB\"\n")?;
    let config = config.display().to_string();
    let is = |args: &[&str]| {
        Ok::<bool, anyhow::Error>(
            nest.installer(&[&["verify", "--quiet"], args].concat()).output()?.status.success(),
        )
    };
    nest.install(&[])?;
    ensure!(is(&[])? && is(&["--binaries", &old])?);
    ensure!(!is(&["--binaries", &new])?, "another release is to come");
    ensure!(!is(&["--binaries", &old, "--config", &config])?, "another config is to come");
    ensure!(!is(&["--gone"])?, "it is still installed");
    nest.uninstall()?;
    ensure!(!is(&["--gone"])?, "no agent has said so");
    // As an agent does.
    nest.sh("mkdir -p /run/run-wasm && touch /run/run-wasm/uninstalled")?;
    ensure!(is(&["--gone"])?);
    ensure!(!is(&["--binaries", &old])? && !is(&[])?, "nothing is installed, as was meant once");
    nest.install(&[])?;
    ensure!(is(&["--binaries", &old])? && !is(&["--gone"])?);
    Ok(())
}

fn a_containerd_that_does_not_come_back(nest: &Nest) -> Result<()> {
    let witness = nest.witness()?;
    fs::write(nest.see("/run/held"), "")?;
    let binaries = nest.path("bin").display().to_string();
    let told = fail(nest.installer(&["install", "--binaries", &binaries, "--restart-timeout", "10"]))?;
    ensure!(told.contains("containerd is not as it should be 10 s after its restart"), "{told}");
    ensure!(told.contains("nothing has changed on this node"), "{told}");
    is_untouched(nest, nest.version.config)?;
    ensure!(nest.restarts() == 3 && nest.witness()? == witness);
    Ok(())
}

fn a_cache_without_exec(nest: &Nest) -> Result<()> {
    nest.sh("mount -o remount,noexec /var/lib")?;
    let told = install_fails(nest, &[])?;
    ensure!(told.contains("/var/lib/run-wasm/aot is on a file system that is mounted noexec"), "{told}");
    is_untouched(nest, nest.version.config)?;
    // Somewhere else it is fine.
    let config = nest.path("config.toml");
    fs::write(&config, "[cache]\ndir = \"/opt/aot\"\n")?;
    nest.install(&["--config", &config.display().to_string()]).map(drop)
}

fn a_broken_node_config(nest: &Nest) -> Result<()> {
    let config = nest.path("config.toml");
    fs::write(&config, "native = \"allow\"\nmodez = []\n")?;
    let told = install_fails(nest, &["--config", &config.display().to_string()])?;
    ensure!(told.contains("config.toml, line 2"), "{told}");
    is_untouched(nest, nest.version.config)
}

fn running_pods_keep_it_installed(nest: &Nest) -> Result<()> {
    nest.install(&[])?;
    let told = fail(nest.installer(&["uninstall"]))?;
    ensure!(told.contains("/witness") && told.contains("drain the node first"), "{told}");
    ensure!(nest.verify()?.is_empty());
    nest.uninstall()?;
    ensure!(nest.is_there(CURRENT), "a task runs and its programs are gone");
    nest.end_witness()?;
    succeed(nest.installer(&["uninstall"]))?;
    for path in ["/opt/run-wasm", "/etc/run-wasm", "/var/lib/run-wasm", DROP_IN] {
        ensure!(!nest.is_there(path), "{path} is there");
    }
    ensure!(nest.config()? == nest.version.config);
    Ok(())
}

fn later_edits_stay(nest: &Nest) -> Result<()> {
    nest.install(&[])?;
    let theirs = "\n[debug]\n  level = \"warn\" # added later\n";
    fs::write(nest.see(CONFIG), format!("{}{theirs}", nest.config()?))?;
    nest.uninstall()?;
    ensure!(nest.config()? == format!("{}{theirs}", nest.version.config), "{}", nest.config()?);
    // A link in place of the config is somebody's way to manage it.
    fs::rename(nest.see(CONFIG), nest.see("/etc/containerd/real.toml"))?;
    symlink("real.toml", nest.see(CONFIG))?;
    let told = install_fails(nest, &[])?;
    ensure!(told.contains("is a symbolic link to real.toml"), "{told}");
    Ok(())
}

fn pods_run_by_what_was_installed(nest: &Nest) -> Result<()> {
    nest.install(&[])?;
    let shim = format!("{CURRENT}/containerd-shim-run-v2");
    nest.ctr(&["run", "-d", "--null-io", "--runtime", &shim, "localhost/sleep:1", "second"])?;
    let newer = nest.path("newer").display().to_string();
    succeed(nest.installer(&["install", "--binaries", &newer]))?;
    // The release that it runs from stays, and its end is dealt with by the new one.
    ensure!(nest.sh("ls -d /opt/run-wasm/*/containerd-shim-run-v2 | grep -v current | wc -l")?.trim() == "2");
    nest.ctr(&["tasks", "kill", "-s", "KILL", "second"])?;
    crate::nest::eventually("the task has ended", || {
        Ok(!nest
            .ctr(&["tasks", "ls"])?
            .lines()
            .any(|line| line.starts_with("second") && line.contains("RUNNING")))
    })?;
    nest.ctr(&["tasks", "delete", "second"])?;
    nest.witness().map(drop)
}
