//! What h2spec says of HTTP/2: RFC 7540 and RFC 7541, case by case.

/// The port speaks HTTP/1.1 as well: what is no preface of HTTP/2 is answered in that, with 400, before it is hung up.
const BOTH_ARE_SPOKEN: &str = "2: Sends invalid connection preface";

use std::process::Command;

use anyhow::Context;

use testkit::http::connect;

testkit::stories! {
    fn http_2_is_spoken_as_h2spec_wants_it(daemon) {
        let mut server = daemon.run("serve.wasm").host_network().spawn()?;
        connect(daemon.nest())?;
        let program = testkit::h2spec()?;
        let tried = daemon.nest().in_network(|| {
            let mut h2spec = Command::new(&program);
            h2spec.args(["--host", "127.0.0.1", "--port", "8080", "--path", "/sleep/50", "--timeout", "5"]);
            h2spec.output().with_context(|| format!("cannot run {}", program.display()))
        })??;
        let said = String::from_utf8_lossy(&tried.stdout);
        let sum = said.lines().rfind(|line| line.contains(" tests, ")).with_context(|| format!("no sum: {said}"))?;
        eprintln!("h2spec: {sum}");
        let failed: Vec<_> = said.lines().filter_map(|line| line.trim().strip_prefix("× ")).collect();
        assert!(failed.iter().all(|case| *case == BOTH_ARE_SPOKEN), "{said}");
        let passed: Option<u32> = sum.split(" passed").next().and_then(|sum| sum.rsplit(' ').next()?.parse().ok());
        assert!(passed >= Some(140), "{sum}");
        server.kill("SIGTERM")?;
        assert_eq!(server.outcome()?.code, 0);
    }
}
