//! Pods in shared mode, beside pods in normal mode.

use std::net::TcpStream;

use testkit::{Node, PodSpec, refusal};

use crate::among_others;

const SERVER: &str = "0.0.0.0:8080";

fn shared<'a>(node: &'a Node, name: &str) -> PodSpec<'a> {
    node.pod(name).handler("run-shared")
}

/// The names and users of the hosts, sorted.
fn hosts(node: &Node) -> anyhow::Result<Vec<(String, u32)>> {
    let name = |line: &str| line.split(' ').next_back().unwrap_or_default().to_owned();
    let mut hosts: Vec<_> = node.hosts()?.iter().map(|host| (name(&host.command_line), host.uid)).collect();
    hosts.sort();
    Ok(hosts)
}

testkit::pod_stories! {
    fn pods_of_both_modes_live_side_by_side(node) {
        let _among = among_others();
        let (normal, one, other) = (node.pod("normal").handler("run").run()?, shared(node, "one").run()?, shared(node, "other").run()?);
        let containers = [&normal, &one, &other]
            .map(|pod| pod.guest("app", "ticker.wasm")?.start())
            .into_iter()
            .collect::<anyhow::Result<Vec<_>>>()?;
        for container in &containers {
            container.says("tick 2\n")?;
        }
        let own = containers.first().map(|container| container.id().to_owned()).unwrap_or_default();
        let mut expected = vec![(own, 0), ("k8s.io/default".to_owned(), 0)];
        expected.sort();
        assert_eq!(hosts(node)?, expected);
        assert_eq!(node.shims()?.len(), 2, "a shim for the one, a manager for the others");
        drop(containers);
        for pod in [normal, one, other] {
            pod.remove()?;
        }
    }

    fn several_containers_of_a_pod_come_and_go_on_their_own(node) {
        let _among = among_others();
        let pod = shared(node, "several").run()?;
        let stays = pod.guest("stays", "ticker.wasm")?.start()?;
        for attempt in 0..3u32 {
            let (fast, slow) = (pod.guest("fast", "hello.wasm")?.attempt(attempt), pod.guest("slow", "sleep.wasm")?.attempt(attempt));
            let (fast, slow) = (fast.start()?, slow.start()?);
            assert_eq!(fast.end()?.exit_code, 0);
            slow.says("sleeping\n")?;
            slow.stop(0)?;
            assert_eq!(slow.end()?.exit_code, 137);
            fast.remove()?;
            slow.remove()?;
        }
        let crash = pod.guest("crash", "trap.wasm")?.start()?;
        assert_eq!(crash.end()?.exit_code, 134, "a trap is a guest's own");
        let ticks = stays.output("stdout")?.lines().count();
        testkit::eventually("it ticks on", 30, || Ok(stays.output("stdout")?.lines().count() > ticks + 3))?;
        pod.remove()?;
    }

    fn two_trust_groups_never_share_a_process(node) {
        let _among = among_others();
        let mut pods = Vec::new();
        for namespace in ["bank", "shop"] {
            for name in ["one", "other"] {
                pods.push(shared(node, &format!("{namespace}-{name}")).namespace(namespace).run()?);
            }
        }
        for pod in &pods {
            for user in [1001, 1002] {
                let container = pod.guest(&format!("of-{user}"), "sleep.wasm")?.user(user, user, &[]).start()?;
                container.says("sleeping\n")?;
            }
        }
        let groups = [("bank", 1001), ("bank", 1002), ("shop", 1001), ("shop", 1002)];
        assert_eq!(hosts(node)?, groups.map(|(namespace, user)| (format!("k8s.io/{namespace}"), user)));
        for pod in pods {
            pod.remove()?;
        }
    }

    fn a_container_in_shared_mode_has_no_place_in_a_pod_in_normal_mode(node) {
        let _among = among_others();
        let pod = node.pod("mixed").handler("run").annotation("run.wasm/app.mode", "shared").run()?;
        let refused = refusal(pod.guest("app", "hello.wasm")?.create()?.start())?;
        let sentence = "this container asks for the shared mode and its pod runs in the normal one: write the annotation \
                        run.wasm/mode: shared for the whole pod";
        assert!(refused.contains(sentence), "{refused}");
        let other = pod.guest("other", "hello.wasm")?.start()?;
        assert_eq!(other.end()?.exit_code, 0, "the annotation is another container's");
        pod.remove()?;
    }

    fn a_container_in_normal_mode_has_a_host_of_its_own_in_a_pod_in_shared_mode(node) {
        let _among = among_others();
        let pod = shared(node, "mixed").annotation("run.wasm/own.mode", "normal").run()?;
        let (own, other) = (pod.guest("own", "ticker.wasm")?.start()?, pod.guest("other", "ticker.wasm")?.start()?);
        own.says("tick 1\n")?;
        other.says("tick 1\n")?;
        let mut expected = vec![(own.id().to_owned(), 0), ("k8s.io/default".to_owned(), 0)];
        expected.sort();
        assert_eq!(hosts(node)?, expected);
        assert_eq!(node.shims()?.len(), 1);
        pod.remove()?;
    }

    fn sockets_are_in_the_network_of_their_pod_whoever_shares_the_host(node) {
        let _among = among_others();
        let (one, other) = (shared(node, "one").run()?, shared(node, "other").run()?);
        let mut servers = Vec::new();
        for pod in [&one, &other] {
            let server = pod.guest("server", "sockets.wasm")?.port(8080, "TCP").args(["accept", SERVER]).start()?;
            server.says("ok listening")?;
            servers.push(server);
        }
        let third = shared(node, "third").annotation("run.wasm/egress", "127.0.0.1:8080").run()?;
        let client = third.guest("client", "sockets.wasm")?.args(["connect", "127.0.0.1:8080"]).start()?;
        assert_eq!(client.end()?.exit_code, 1);
        let told = client.output("stdout")?;
        assert!(told.starts_with("error: ConnectionRefused"), "nobody listens in its pod: {told}");
        assert_eq!(hosts(node)?, [("k8s.io/default".to_owned(), 0)]);
        let refused = node.nest().in_network(|| TcpStream::connect("127.0.0.1:8080"))?;
        assert!(refused.is_err(), "a guest listens in the node's network");
        for pod in [&one, &other] {
            assert_eq!(node.echo(&format!("{}:8080", pod.ip()?))?, "over and out");
        }
        for server in &servers {
            assert_eq!(server.end()?.exit_code, 0);
        }
        drop(servers);
        for pod in [one, other, third] {
            pod.remove()?;
        }
    }
}
