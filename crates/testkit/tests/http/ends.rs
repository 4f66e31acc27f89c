//! How servers begin and end.

use std::io::Write;
use std::net::{TcpListener, TcpStream};

use testkit::eventually;

use crate::BOTH;
use testkit::http::{ADDRESS, connect, field, get, read};

testkit::stories! {
    fn a_server_that_is_asked_to_end_answers_what_it_was_asked_and_takes_nothing_more(daemon) {
        for file in BOTH {
            let mut server = daemon.run(file).host_network().spawn()?;
            let mut at_work = connect(daemon.nest())?;
            write!(at_work, "GET /sleep/3000 HTTP/1.1\r\nHost: a\r\n\r\n")?;
            let mut idle = connect(daemon.nest())?;
            write!(idle, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")?;
            assert_eq!(read(&mut idle)?.status, 200);
            // Idle connections have a second from then on, and `ctr` may take as long to end.
            std::thread::scope(|scope| {
                let asked = scope.spawn(|| server.kill("SIGTERM"));
                eventually("the port is closed", 60, || {
                    Ok(daemon.nest().in_network(|| TcpStream::connect(ADDRESS))?.is_err())
                })?;
                // It was about to ask again, and has not heard yet.
                write!(idle, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")?;
                asked.join().unwrap_or_else(|_| anyhow::bail!("a panic"))
            })?;
            let last = read(&mut idle)?;
            assert_eq!((last.status, field(&last.head, "connection")), (200, Some("close")), "{file}");
            assert_eq!(read(&mut at_work)?.body, "slept\n", "{file}");
            let ended = server.outcome()?;
            assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{file}");
        }
    }

    fn a_server_that_does_not_come_to_its_end_is_ended(daemon) {
        let mut server = daemon.run("serve.wasm").host_network().spawn()?;
        let mut at_work = connect(daemon.nest())?;
        write!(at_work, "GET /spin HTTP/1.1\r\nHost: a\r\n\r\n")?;
        assert_eq!(get(daemon.nest(), "/hello")?.status, 200);
        server.kill("SIGTERM")?;
        server.kill("SIGKILL")?;
        assert_eq!(server.outcome()?.code, 137);
    }

    fn a_second_request_to_end_is_no_request(daemon) {
        let mut server = daemon.run("serve.p3.wasm").host_network().spawn()?;
        let mut at_work = connect(daemon.nest())?;
        write!(at_work, "GET /never HTTP/1.1\r\nHost: a\r\n\r\n")?;
        assert_eq!(get(daemon.nest(), "/hello")?.status, 200);
        server.kill("SIGTERM")?;
        server.kill("SIGTERM")?;
        assert_eq!(server.outcome()?.code, 143);
    }

    fn a_taken_port_is_an_error_of_the_start_that_names_it(daemon) {
        let taken = daemon.nest().in_network(|| TcpListener::bind("0.0.0.0:8080"))??;
        let failed = daemon.run("serve.wasm").host_network().outcome()?;
        assert!(failed.code != 0 && failed.stderr.contains("port 8080") && failed.stderr.contains("run.wasm/http-port"), "{failed}");
        drop(taken);
        let mut server = daemon.run("serve.wasm").host_network().spawn()?;
        assert_eq!(get(daemon.nest(), "/hello")?.status, 200);
        server.kill("SIGTERM")?;
        assert_eq!(server.outcome()?.code, 0);
    }

    fn an_idle_server_has_no_instance(daemon) {
        let mut server = daemon.run("serve.p3.wasm").host_network().spawn()?;
        assert_eq!(get(daemon.nest(), "/hog/50")?.status, 200);
        eventually("the instance is gone", 60, || Ok(server.anonymous_memory()? < 20 << 20))?;
        server.kill("SIGTERM")?;
        assert_eq!(server.outcome()?.code, 0);
    }
}
