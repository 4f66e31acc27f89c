//! Servers in other languages than Rust.

use testkit::http::get;

testkit::stories! {
    fn servers_in_javascript_and_python_answer_and_survive_what_they_throw(daemon) {
        for (file, language) in [("serve-js.wasm", "javascript"), ("serve-py.wasm", "python")] {
            let mut server = daemon.run(file).host_network().annotation("run.wasm/http-reuse", "3").spawn()?;
            let hello = get(daemon.nest(), "/hello")?;
            if hello.status != 200 {
                server.kill("SIGTERM")?;
                anyhow::bail!("{hello:?} {}", server.outcome()?);
            }
            assert_eq!(hello.body, format!("hello from {language}\n"));
            assert_eq!(get(daemon.nest(), "/trap")?.status, 500);
            let count = get(daemon.nest(), "/count")?;
            assert!(count.status == 200 && ["1\n", "2\n", "3\n"].contains(&count.body.as_str()), "{count:?}");
            server.kill("SIGTERM")?;
            let ended = server.outcome()?;
            assert!(ended.code == 0 && ended.stderr.contains("as it was asked to"), "{ended}");
        }
    }
}
