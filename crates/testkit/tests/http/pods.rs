//! Servers in pods.

use std::io::Write;
use std::net::TcpStream;

use testkit::until;

use crate::client::read;

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
}
