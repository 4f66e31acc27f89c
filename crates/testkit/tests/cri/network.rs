//! Containers of a pod are in the pod's network, and a guest has of it what its own container declares.

use std::net::TcpStream;

use testkit::PodContainer;

const SERVER: &str = "0.0.0.0:8080";

fn said(container: &PodContainer) -> anyhow::Result<(i32, String)> {
    Ok((container.end()?.exit_code, container.output("stdout")?))
}

testkit::pod_stories! {
    fn a_declared_port_is_reached_at_the_pods_address_and_not_at_the_nodes(node) {
        let pod = node.pod("server").run()?;
        let server = pod.guest("server", "sockets.wasm")?.port(8080, "TCP").args(["accept", SERVER]).start()?;
        server.says("ok listening")?;
        let refused = node.nest().in_network(|| TcpStream::connect("127.0.0.1:8080"))?;
        assert!(refused.is_err(), "the guest listens in the node's network");
        assert_eq!(node.echo(&format!("{}:8080", pod.ip()?))?, "over and out");
        assert_eq!(server.end()?.exit_code, 0);
        pod.remove()?;
    }

    fn containers_of_a_pod_meet_on_its_localhost(node) {
        let pod = node.pod("pair").annotation("run.wasm/client.egress", "127.0.0.1:8080").run()?;
        let server = pod.guest("server", "sockets.wasm")?.port(8080, "TCP").args(["accept", SERVER]).start()?;
        server.says("ok listening")?;
        let stranger = pod.guest("stranger", "sockets.wasm")?.args(["connect", "127.0.0.1:8080"]).start()?;
        let (code, words) = said(&stranger)?;
        assert!(code == 1 && words.starts_with("error: PermissionDenied"), "a sibling has its own grants: {words}");
        let client = pod.guest("client", "sockets.wasm")?.args(["connect", "127.0.0.1:8080"]).start()?;
        assert_eq!(said(&client)?, (0, "ok connected to 127.0.0.1:8080\n".to_owned()));
        assert_eq!(server.end()?.exit_code, 0);
        pod.remove()?;
    }

    fn a_port_that_a_sibling_declares_is_not_ones_own(node) {
        let pod = node.pod("ports").run()?;
        let declared = pod.guest("declared", "sockets.wasm")?.port(8080, "TCP").args(["listen", SERVER]).start()?;
        assert_eq!(said(&declared)?, (0, format!("ok listening on {SERVER}\n")));
        for (name, words) in [("undeclared", ["listen", SERVER]), ("datagrams", ["udp-bind", SERVER])] {
            let mut container = pod.guest(name, "sockets.wasm")?.args(words);
            if name == "datagrams" {
                container = container.port(8080, "TCP");
            }
            let (code, words) = said(&container.start()?)?;
            assert!(code == 1 && words.starts_with("error: PermissionDenied"), "{name}: {words}");
        }
        pod.remove()?;
    }

    fn two_pods_may_listen_on_one_port(node) {
        let (one, other) = (node.pod("one").run()?, node.pod("other").run()?);
        let mut servers = Vec::new();
        for pod in [&one, &other] {
            let server = pod.guest("server", "sockets.wasm")?.port(8080, "TCP").args(["accept", SERVER]).start()?;
            server.says("ok listening")?;
            servers.push(server);
        }
        assert_ne!(one.ip()?, other.ip()?);
        for pod in [&one, &other] {
            assert_eq!(node.echo(&format!("{}:8080", pod.ip()?))?, "over and out");
        }
        for server in &servers {
            assert_eq!(server.end()?.exit_code, 0);
        }
        drop(servers);
        one.remove()?;
        other.remove()?;
    }

    fn a_pod_of_the_nodes_network_listens_there(node) {
        let pod = node.pod("host").host_network().run()?;
        assert_eq!(pod.ip()?, "", "it has no address of its own");
        let server = pod.guest("server", "sockets.wasm")?.port(8080, "TCP").args(["accept", SERVER]).start()?;
        server.says("ok listening")?;
        assert_eq!(node.echo("127.0.0.1:8080")?, "over and out");
        assert_eq!(server.end()?.exit_code, 0);
        let undeclared = pod.guest("undeclared", "sockets.wasm")?.args(["listen", "0.0.0.0:8081"]).start()?;
        let (code, words) = said(&undeclared)?;
        assert!(code == 1 && words.starts_with("error: PermissionDenied"), "{words}");
        pod.remove()?;
    }
}
