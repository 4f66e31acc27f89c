//! What clients do to servers.

use std::io::Write;

use testkit::http::{ADDRESS, connect, field, get, idle, read, rest, say};

testkit::stories! {
    fn oversize_heads_and_bodies_are_refused(daemon) {
        let run = daemon.run("serve.wasm").host_network().annotation("run.wasm/http-max-body", "1KiB");
        let mut server = run.spawn()?;
        let nest = daemon.nest();
        let large = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(100_000));
        assert_eq!(say(nest, &large)?.status, 431);
        let fields: String = (0..200).map(|number| format!("X-{number}: x\r\n")).collect();
        assert_eq!(say(nest, &format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))?.status, 431);
        let announced = say(nest, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1025\r\n\r\n")?;
        assert_eq!((announced.status, field(&announced.head, "connection")), (413, Some("close")));
        let fits = format!("POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1024\r\n\r\n{}", "x".repeat(1024));
        assert_eq!(say(nest, &fits)?.body.len(), 1024);
        // In pieces nobody knows before.
        let pieces = format!("POST /sleep/100000 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n800\r\n{}\r\n0\r\n\r\n", "x".repeat(2048));
        let mut stream = connect(nest)?;
        stream.write_all(pieces.replace("/sleep/100000", "/echo").as_bytes())?;
        let cut = read(&mut stream)?;
        assert!(cut.status == 413 || cut.cut, "{cut:?}");
        assert_eq!(get(nest, "/hello")?.status, 200);
        server.kill("SIGTERM")?;
        assert_eq!(server.outcome()?.code, 0);
    }

    fn what_is_no_http_is_told_so_and_hung_up_on(daemon) {
        let mut server = daemon.run("serve.wasm").host_network().spawn()?;
        for noise in [
            "hello?\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n",
            "GET / HTTP/3.0\r\nHost: a\r\n\r\n",
            "G\u{0}T / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /\u{1} HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 2\r\n\r\nxx",
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx",
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\nx",
            "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\nx",
            "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
            "POST /echo HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ] {
            let mut stream = connect(daemon.nest())?;
            stream.write_all(noise.as_bytes())?;
            let told = rest(&mut stream)?;
            assert!(told.is_empty() || told.starts_with("HTTP/1.1 400") || told.starts_with("HTTP/1.1 505"), "{noise:?}: {told}");
        }
        assert_eq!(get(daemon.nest(), "/hello")?.status, 200);
        server.kill("SIGTERM")?;
        assert_eq!(server.outcome()?.code, 0);
    }

    fn nothing_is_smuggled_behind_a_body_of_two_lengths(daemon) {
        let mut server = daemon.run("serve.wasm").host_network().spawn()?;
        for lengths in ["Content-Length: 4\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 4"] {
            let mut stream = connect(daemon.nest())?;
            let smuggled = "GET /env/SMUGGLED HTTP/1.1\r\nHost: a\r\n\r\n";
            write!(stream, "POST /head HTTP/1.1\r\nHost: a\r\n{lengths}\r\n\r\n0\r\n\r\n{smuggled}")?;
            let told = rest(&mut stream)?;
            assert_eq!(told.matches("HTTP/1.1 ").count(), 1, "{lengths}: {told}");
            assert!(told.starts_with("HTTP/1.1 400") || !told.to_ascii_lowercase().contains("content-length: 4"), "{told}");
        }
        server.kill("SIGTERM")?;
        assert_eq!(server.outcome()?.code, 0);
    }

    fn slow_clients_are_hung_up_on(daemon) {
        let run = daemon.run("serve.wasm").host_network().annotation("run.wasm/http-timeout", "2s");
        let mut server = run.spawn()?;
        let nest = daemon.nest();
        let mut beginnings = Vec::new();
        for beginning in ["", "G", "PRI * HT", "GET / HTTP/1.1\r\nHost: a\r\nX: ", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"] {
            let mut stream = connect(nest)?;
            stream.write_all(beginning.as_bytes())?;
            beginnings.push(stream);
        }
        for stream in &mut beginnings {
            let told = rest(stream)?;
            assert!(told.is_empty() || told.starts_with("HTTP/1.1 408") || told.contains("hello by"), "{told}");
        }
        let slow = say(nest, "POST /sleep/600000 HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nslow")?;
        assert_eq!(slow.status, 504, "nobody reads the body");
        let slow = say(nest, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nslow")?;
        assert!(slow.status == 408 || slow.cut, "{slow:?}");
        assert_eq!(get(nest, "/hello")?.status, 200);
        server.kill("SIGTERM")?;
        assert_eq!(server.outcome()?.code, 0);
    }

    fn clients_that_vanish_leave_nothing_behind(daemon) {
        let run = daemon.run("serve.wasm").host_network().annotation("run.wasm/http-max-instances", "4");
        let mut server = run.spawn()?;
        let nest = daemon.nest();
        assert_eq!(get(nest, "/hello")?.status, 200);
        for request in [
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nhalf",
            "GET /never HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /spin HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /big/100000000 HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /stall HTTP/1.1\r\nHost: a\r\n\r\n",
        ] {
            // As many as there are instances, twice.
            for _ in 0..8 {
                let mut stream = connect(nest)?;
                stream.write_all(request.as_bytes())?;
            }
            assert_eq!(get(nest, "/hello")?.status, 200, "{request}");
        }
        server.kill("SIGTERM")?;
        assert_eq!(server.outcome()?.code, 0);
    }

    fn a_thousand_idle_connections_hold_up_nobody(daemon) {
        let mut server = daemon.run("serve.wasm").host_network().memory(64 << 20).spawn()?;
        let nest = daemon.nest();
        let idle = idle(nest, ADDRESS, 1000)?;
        assert_eq!(get(nest, "/hello")?.status, 200);
        server.kill("SIGTERM")?;
        drop(idle);
        assert_eq!(server.outcome()?.code, 0);
    }

    fn more_idle_connections_than_there_is_room_for_wait_with_the_kernel(daemon) {
        let mut server = daemon.run("serve.wasm").host_network().memory(64 << 20).spawn()?;
        let nest = daemon.nest();
        let idle = idle(nest, ADDRESS, 3000)?;
        // Whoever comes now has a turn when one of them goes.
        let mut last = connect(nest)?;
        last.write_all(b"GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
        drop(idle);
        assert_eq!(read(&mut last)?.status, 200);
        server.kill("SIGTERM")?;
        assert_eq!(server.outcome()?.code, 0);
    }
}
