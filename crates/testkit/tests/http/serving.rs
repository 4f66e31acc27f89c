//! What servers answer.

use std::fs;
use std::io::Write;

use crate::BOTH;
use testkit::http::{connect, connect_to, field, get, http2, piece, read, read_head, say};

testkit::stories! {
    fn a_server_answers_with_all_that_its_container_was_given(daemon) {
        let folder = daemon.nest().folder().join("volume");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("page"), "a page of a volume")?;
        for (file, release) in BOTH.into_iter().zip(["0.2", "0.3"]) {
            let run = daemon.run(file).host_network().mount(&folder, "/www", "rbind:ro");
            let mut server = run.env("GREETING", "bonjour").spawn()?;
            let nest = daemon.nest();
            let hello = get(nest, "/hello")?;
            assert_eq!((hello.status, hello.body), (200, format!("hello by {release}\n")), "{}", server.stderr());
            assert_eq!(get(nest, "/env/GREETING")?.body, "bonjour");
            assert_eq!(get(nest, "/file/www/page")?.body, "a page of a volume");
            assert_eq!(get(nest, "/file/etc/passwd")?.status, 404);
            let head = get(nest, "/head/a?b=c")?.body;
            assert!(head.contains("Get /head/a?b=c\nauthority test\n"), "{head}");
            assert_eq!(get(nest, "/get/127.0.0.1:8080")?.status, 502, "to serve gives no connections");
            assert_eq!(get(nest, "/none")?.status, 404);
            server.kill("SIGTERM")?;
            assert_eq!(server.outcome()?.code, 0);
        }
    }

    fn a_server_s_environment_is_its_configuration(daemon) {
        let mut server = daemon.run("configured.wasm").host_network().env("GREETING", "bonjour").spawn()?;
        assert_eq!(get(daemon.nest(), "/GREETING")?.body, "bonjour");
        assert_eq!(get(daemon.nest(), "/PARTING")?.body, "");
        server.kill("SIGTERM")?;
        assert_eq!(server.outcome()?.code, 0);
    }

    fn a_body_flows_in_both_directions_at_once_and_has_trailers(daemon) {
        for file in BOTH {
            let mut server = daemon.run(file).host_network().spawn()?;
            let mut stream = connect(daemon.nest())?;
            write!(stream, "POST /echo HTTP/1.1\r\nHost: test\r\nTE: trailers\r\nTrailer: x-last\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            write!(stream, "5\r\nfirst\r\n")?;
            let head = read_head(&mut stream)?;
            assert!(head.starts_with("HTTP/1.1 200"), "{head}");
            assert_eq!(piece(&mut stream)?, "first", "before the rest was sent");
            write!(stream, "6\r\nsecond\r\n")?;
            assert_eq!(piece(&mut stream)?, "second");
            write!(stream, "0\r\nx-last: word\r\n\r\n")?;
            let end = read_head(&mut stream)?;
            assert!(end.starts_with("0\r\n"), "{file}: {end}");
            let many = http2(daemon.nest(), &["/echo/1", "/hello", "/echo/2"], "by HTTP/2")?;
            let echo = (200, "by HTTP/2".to_owned(), "word".to_owned());
            assert_eq!((many.first(), many.get(2)), (Some(&echo), Some(&echo)), "{file}");
            assert!(many.get(1).is_some_and(|hello| hello.0 == 200 && hello.1.starts_with("hello")), "{many:?}");
            let big = get(daemon.nest(), "/big/3000000")?;
            assert_eq!((big.status, big.body.len(), big.cut), (200, 3_000_000, false));
            server.kill("SIGKILL")?;
            assert_eq!(server.outcome()?.code, 137);
        }
    }

    fn one_connection_has_many_requests(daemon) {
        let mut server = daemon.run("serve.wasm").host_network().spawn()?;
        let mut stream = connect(daemon.nest())?;
        for _ in 0..3 {
            write!(stream, "GET /hello HTTP/1.1\r\nHost: test\r\n\r\n")?;
            assert_eq!(read(&mut stream)?.body, "hello by 0.2\n");
        }
        // One behind the other.
        write!(stream, "GET /count HTTP/1.1\r\nHost: test\r\n\r\nHEAD /hello HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")?;
        assert_eq!(read(&mut stream)?.body, "1\n");
        let last = testkit::http::rest(&mut stream)?;
        assert!(last.starts_with("HTTP/1.1 200") && last.ends_with("\r\n\r\n"), "{last}");
        let old = say(daemon.nest(), "GET /hello HTTP/1.0\r\n\r\n")?;
        assert_eq!((old.status, old.body.as_str()), (200, "hello by 0.2\n"));
        server.kill("SIGTERM")?;
        assert_eq!(server.outcome()?.code, 0);
    }

    fn a_server_is_reached_by_both_versions_of_ip_at_the_port_that_it_was_given(daemon) {
        for (run, port) in [
            (daemon.run("serve.wasm").annotation("run.wasm/http-port", "81"), 81),
            (daemon.run("serve.p3.wasm").annotation("run.wasm/listen", "53/udp, 9000/tcp"), 9000),
        ] {
            let mut server = run.host_network().spawn()?;
            for host in ["127.0.0.1", "[::1]"] {
                let mut stream = connect_to(daemon.nest(), &format!("{host}:{port}"))?;
                write!(stream, "GET /hello HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")?;
                assert_eq!(read(&mut stream)?.status, 200);
            }
            server.kill("SIGTERM")?;
            assert_eq!(server.outcome()?.code, 0);
        }
    }

    fn lines_of_stderr_are_whole_and_each_request_is_logged_where_that_is_asked_for(daemon) {
        let run = daemon.run("serve.wasm").host_network().annotation("run.wasm/http-access-log", "on");
        let mut server = run.spawn()?;
        let text = "x".repeat(200);
        std::thread::scope(|scope| {
            let asked: Vec<_> =
                (0..16).map(|_| scope.spawn(|| get(daemon.nest(), &format!("/stderr/{text}")))).collect();
            for answer in asked {
                assert_eq!(answer.join().unwrap_or_else(|_| anyhow::bail!("a client panicked"))?.status, 200);
            }
            anyhow::Ok(())
        })?;
        server.kill("SIGTERM")?;
        let ended = server.outcome()?;
        let (own, logged): (Vec<_>, Vec<_>) = ended.stderr.lines().partition(|line| line.starts_with('x'));
        assert!(own.len() == 16 && own.iter().all(|line| **line == *text), "{ended}");
        let wanted = format!("127.0.0.1 \"GET /stderr/{text} HTTP/1.1\" 200 5 ");
        assert!(logged.len() == 16 && logged.iter().all(|line| line.contains(&wanted)), "{ended}");
    }

    fn a_server_reaches_out_where_it_was_granted(daemon) {
        for file in BOTH {
            let run = daemon.run(file).host_network().annotation("run.wasm/egress", "127.0.0.1:8080");
            let mut server = run.spawn()?;
            assert_eq!(get(daemon.nest(), "/get/127.0.0.1:8080")?.body, "status 200\n", "{file}: itself");
            assert_eq!(get(daemon.nest(), "/get/127.0.0.1:8081")?.status, 502);
            server.kill("SIGTERM")?;
            assert_eq!(server.outcome()?.code, 0);
        }
    }

    fn what_is_no_request_for_a_guest_is_refused_with_the_reason(daemon) {
        let mut server = daemon.run("serve.wasm").host_network().spawn()?;
        let upgrade = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n";
        let refused = say(daemon.nest(), upgrade)?;
        assert!(refused.status == 501 && refused.body.contains("Upgrade"), "{refused:?}");
        let passed_over = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n";
        assert_eq!(say(daemon.nest(), passed_over)?.status, 200);
        assert_eq!(say(daemon.nest(), "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n")?.status, 501);
        let hosts = say(daemon.nest(), "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")?;
        assert_eq!((hosts.status, field(&hosts.head, "connection")), (400, Some("close")));
        server.kill("SIGTERM")?;
        assert_eq!(server.outcome()?.code, 0);
    }
}
