//! Servers in pods.

use std::io::Write;
use std::net::TcpStream;
use std::sync::{Mutex, PoisonError};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use testkit::until;

use testkit::http::{connect_to, idle, read};

testkit::pod_stories! {
    fn a_server_is_reached_at_its_declared_port_and_neighbours_do_not_share_one(node) {
        let pod = node.pod("web").run()?;
        let server = pod.guest("server", "serve.wasm")?.port(9000, "TCP").start()?;
        let address = format!("{}:9000", pod.ip()?);
        let mut stream = until("the server listens", 60, || {
            Ok(node.nest().in_network(|| TcpStream::connect(&address))?.ok())
        })?;
        write!(stream, "GET /hello HTTP/1.1\r\nHost: test\r\n\r\n")?;
        assert_eq!(read(&mut stream)?.body, "hello by 0.2\n");
        let neighbour = testkit::refusal(pod.guest("neighbour", "serve.wasm")?.port(9000, "TCP").start())?;
        assert!(neighbour.contains("port 9000") && neighbour.contains("run.wasm/http-port"), "{neighbour}");
        server.stop(60)?;
        assert_eq!(server.end()?.exit_code, 0);
        pod.remove()?;
    }

    fn ten_thousand_idle_connections_hold_up_nobody(node) {
        const IDLE: usize = 10_000;
        // A process may have so many descriptors once.
        static ALONE: Mutex<()> = Mutex::new(());
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: limit.current.map(|files| files.max(IDLE as u64 + 2000)), ..limit })?;
        let pod = node.pod("sought").run()?;
        let server = pod.guest("server", "serve.wasm")?.memory(512 << 20).start()?;
        let (nest, address) = (node.nest(), format!("{}:8080", pod.ip()?));
        let mut idle = idle(nest, &address, IDLE)?;
        let mut last = connect_to(nest, &address)?;
        last.write_all(b"GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
        assert_eq!(read(&mut last)?.status, 200);
        // Those that wait are answered, too, when they go on.
        for stream in idle.iter_mut().rev().skip(1).step_by(1000) {
            stream.write_all(b"Connection: close\r\n\r\n")?;
            assert_eq!(read(stream)?.status, 200);
        }
        drop(idle);
        server.stop(60)?;
        assert_eq!(server.end()?.exit_code, 0);
        pod.remove()?;
    }
}
