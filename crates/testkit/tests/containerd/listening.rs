//! Who may wait for others, and where: on the declared ports of the container's own network, and on no other.

use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use testkit::{Containerd, Run};

fn sockets<'a>(daemon: &'a Containerd, listen: &str, words: &[&str]) -> Run<'a> {
    let run = daemon.run("sockets.wasm").host_network().annotation("run.wasm/listen", listen);
    run.args(words.iter().copied())
}

testkit::stories! {
    fn a_declared_udp_port_answers_those_who_come(daemon) {
        for file in ["sockets.wasm", "sockets.p3.wasm"] {
            for (address, to) in [("127.0.0.1:5353", "127.0.0.1:5353"), ("[::]:5353", "[::1]:5353")] {
                let server = daemon.run(file).host_network().annotation("run.wasm/listen", "5353/udp");
                let mut server = server.args(["udp-listen", address]).spawn()?;
                server.says("ok bound to")?;
                let own = if to.starts_with('[') { "[::1]:0" } else { "127.0.0.1:0" };
                let client = daemon.nest().in_network(|| UdpSocket::bind(own))??;
                client.set_read_timeout(Some(Duration::from_secs(10)))?;
                client.send_to(b"anyone there", to)?;
                let mut datagram = [0; 64];
                let (length, _) = client.recv_from(&mut datagram)?;
                assert_eq!(datagram.get(..length), Some(b"anyone there".as_slice()));
                assert_eq!(server.outcome()?.code, 0);
            }
        }
    }

    fn no_other_port_is_listened_on_by_whatever_address(daemon) {
        for words in [
            ["listen", "0.0.0.0:8081"],
            ["listen", "[::]:8081"],
            ["listen", "[::1]:8081"],
            ["listen", "127.0.0.1:0"],
            ["listen", "[::]:0"],
            ["listen", "0.0.0.0:5353"],
            ["udp-bind", "0.0.0.0:8080"],
            ["udp-bind", "[::]:5354"],
            ["udp-bind", "127.0.0.1:0"],
        ] {
            let refused = sockets(daemon, "8080/tcp, 5353/udp", &words).outcome()?;
            assert!(refused.stdout.starts_with("error: PermissionDenied"), "{words:?}: {refused}");
        }
        // A client binds any free port; nobody comes in by it.
        let client = sockets(daemon, "", &["listen", "127.0.0.1:0"]).annotation("run.wasm/egress", "192.0.2.1:443");
        let refused = client.outcome()?;
        assert!(refused.stdout.starts_with("error: PermissionDenied"), "{refused}");
    }

    fn a_closed_port_takes_no_connection(daemon) {
        let mut server = sockets(daemon, "8080/tcp", &["accept", "[::]:8080"]).spawn()?;
        server.says("ok listening")?;
        drop(daemon.nest().in_network(|| TcpStream::connect("[::1]:8080"))??);
        assert_eq!(server.outcome()?.code, 0);
        let late = daemon.nest().in_network(|| TcpStream::connect("[::1]:8080"))?;
        assert!(late.is_err(), "{late:?}");
    }

    fn a_privileged_port_is_the_matter_of_the_pods_network(daemon) {
        let web = || sockets(daemon, "80/tcp", &["listen", "127.0.0.1:80"]).flag("--user=1000:1000").outcome();
        let refused = web()?;
        assert!(refused.stdout.starts_with("error: PermissionDenied"), "{refused}");
        // As containerd sets it up for pods.
        let open = "echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start";
        assert!(daemon.nest().command("sh").args(["-c", open]).status()?.success());
        assert_eq!(web()?.stdout, "ok listening on 127.0.0.1:80\n");
    }
}
