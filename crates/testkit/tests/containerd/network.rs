//! Nothing is reached that was not granted. The nest's network has a loopback device and nothing else.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};

use testkit::Containerd;

/// A server in the nest that answers one HTTP request, whoever comes.
fn http_server(daemon: &Containerd) -> anyhow::Result<SocketAddr> {
    let listener = daemon.nest().in_network(|| TcpListener::bind("127.0.0.1:0"))??;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let mut request = [0; 4096];
            drop(stream.read(&mut request));
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello"));
        }
    });
    Ok(address)
}

testkit::stories! {
    fn no_socket_is_granted_by_default(daemon) {
        let address = http_server(daemon)?.to_string();
        for words in [["connect", &address], ["udp", &address], ["listen", "127.0.0.1:8080"], ["udp-bind", "127.0.0.1:8080"]] {
            for file in ["sockets.wasm", "sockets.p3.wasm"] {
                let refused = daemon.run(file).host_network().args(words).outcome()?;
                let told = refused.stdout.starts_with("error: PermissionDenied");
                assert!(refused.code == 1 && told, "{words:?} {refused}");
            }
        }
        for file in ["http.wasm", "http.p3.wasm"] {
            let http = daemon.run(file).host_network().args([format!("http://{address}/")]).outcome()?;
            assert!(http.code == 1 && http.stdout.contains("Denied"), "{http}");
        }
    }

    fn egress_opens_what_it_names_and_nothing_else(daemon) {
        let (granted, other) = (http_server(daemon)?, http_server(daemon)?);
        let run = |file: &str| daemon.run(file).host_network().annotation("run.wasm/egress", &granted.to_string());
        for (sockets, http) in [("sockets.wasm", "http.wasm"), ("sockets.p3.wasm", "http.p3.wasm")] {
            let open = run(sockets).args(["connect".to_owned(), granted.to_string()]).outcome()?;
            assert_eq!((open.code, open.stdout), (0, format!("ok connected to {granted}\n")));
            let closed = run(sockets).args(["connect".to_owned(), other.to_string()]).outcome()?;
            assert!(closed.stdout.starts_with("error: PermissionDenied"), "{closed}");
            let page = run(http).args([format!("http://{granted}/")]).outcome()?;
            assert_eq!((page.code, page.stdout.trim_end()), (0, "status 200\nhello"), "{page}");
            let closed = run(http).args([format!("http://{other}/")]).outcome()?;
            assert!(closed.code == 1 && closed.stdout.contains("Denied"), "{closed}");
        }
    }

    fn a_datagram_goes_where_egress_says(daemon) {
        let receiver = daemon.nest().in_network(|| UdpSocket::bind("127.0.0.1:0"))??;
        receiver.set_read_timeout(Some(std::time::Duration::from_secs(10)))?;
        let to = receiver.local_addr()?.to_string();
        for file in ["sockets.wasm", "sockets.p3.wasm"] {
            let sent = daemon.run(file).host_network().annotation("run.wasm/egress", &to);
            let sent = sent.args(["udp", to.as_str()]).outcome()?;
            assert_eq!((sent.code, sent.stdout), (0, format!("ok sent 4 bytes to {to}\n")));
            let mut datagram = [0; 16];
            let length = receiver.recv(&mut datagram)?;
            assert_eq!(datagram.get(..length), Some(b"ping".as_slice()));
        }
    }

    fn a_declared_port_is_served_and_no_other(daemon) {
        for file in ["sockets.wasm", "sockets.p3.wasm"] {
            let run = || daemon.run(file).host_network().annotation("run.wasm/listen", "8080/tcp");
            let mut server = run().args(["accept", "127.0.0.1:8080"]).spawn()?;
            server.says("ok listening on 127.0.0.1:8080")?;
            let mut client = daemon.nest().in_network(|| TcpStream::connect("127.0.0.1:8080"))??;
            client.write_all(b"over and out")?;
            client.shutdown(std::net::Shutdown::Write)?;
            let mut back = String::new();
            client.read_to_string(&mut back)?;
            assert_eq!(back, "over and out");
            let end = server.outcome()?;
            assert!(end.code == 0 && end.stdout.contains("ok echoed 12 bytes"), "{end}");
            let other = run().args(["listen", "127.0.0.1:8081"]).outcome()?;
            assert!(other.stdout.starts_with("error: PermissionDenied"), "{other}");
        }
    }

    fn a_container_without_the_nodes_network_reaches_nothing_of_it(daemon) {
        let address = http_server(daemon)?.to_string();
        let run = daemon.run("sockets.wasm").annotation("run.wasm/egress", &address);
        let alone = run.args(["connect", address.as_str()]).outcome()?;
        assert!(alone.code == 1 && !alone.stdout.contains("PermissionDenied"), "{alone}");
    }
}
