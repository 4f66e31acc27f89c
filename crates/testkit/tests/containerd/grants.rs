//! What a container was given is told: in the log when it is created, and by its shim's record as long as it is there.

use std::process::Command;

use testkit::eventually;

/// `run-wasm inspect CONTAINER` in the nest.
fn inspected(daemon: &testkit::Containerd, id: &str) -> anyhow::Result<String> {
    let program = testkit::shim_binary()?.with_file_name("run-wasm");
    let mut command: Command = daemon.nest().command(program);
    let output = command.args(["inspect", id]).output()?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

testkit::stories! {
    fn the_grants_of_a_container_are_in_the_log_and_on_record(daemon) {
        let run = daemon.run("sockets.wasm").id("granted").host_network().memory(64 << 20).env("TOKEN", "secret");
        let run = run.annotation("run.wasm/listen", "8080/tcp").config("[limits]\nopen-files = 77\n");
        let mut server = run.args(["accept", "127.0.0.1:8080"]).spawn()?;
        server.says("ok listening")?;
        // The node's config has changed since: what counts is what the container has.
        std::fs::write(daemon.nest().folder().join("granted.config.toml"), "[limits]\nopen-files = 5\n")?;
        let table = inspected(daemon, "granted")?;
        for line in ["entry      /sockets.wasm\n", "listen     8080/tcp\n", "egress     closed\n", "memory     64MiB\n", "open files 77\n"] {
            assert!(table.contains(line), "{line:?} is not in\n{table}");
        }
        let line = "granted: entry /sockets.wasm | args `/sockets.wasm` and 2 more | env ";
        eventually("the grants are in the log", 30, || {
            Ok(daemon.log().lines().any(|logged| logged.contains(line) && logged.contains("| listen 8080/tcp |")))
        })?;
        assert!(!table.contains("secret") && !daemon.log().contains("secret"));
        server.kill("SIGKILL")?;
        server.outcome()?;
        eventually("the record is gone", 30, || Ok(inspected(daemon, "granted").is_err()))?;
    }
}
