//! The network of pods: addresses, Services, names, ports.

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};
use testkit::cluster::{Mode, NODE as FIRST, Namespace, WORKER, guest_container, text, with};

use crate::table::{Feature, feature};
use crate::workloads::server;

pub const FEATURES: &[Feature] = &[
    feature("Service by kube-proxy: ClusterIP, NodePort", services),
    feature("DNS name of a Service, in full and short", names),
    feature("pod IP: both ends see the pods' own", pod_addresses),
    feature("two nodes: Services, names and pod IPs from one to the other", across_nodes),
    feature("hostNetwork", host_network),
    feature("hostPort", host_port),
    feature("port-forward", port_forward),
];

/// What a guest gets that asks for a URL, and may ask those of `egress`.
fn asked(here: &Namespace<'_>, name: &str, url: &str, egress: Option<&str>) -> Result<String> {
    let annotations = egress.map_or_else(|| json!({}), |egress| json!({"run.wasm/egress": egress}));
    here.annotated_pod(name, annotations, json!({"containers": [guest_container("guest", "http", &[url])]}))?;
    here.ended(name)?;
    here.log(name, "")
}

const HELLO: &str = "status 200\nhello by 0.2\n";

/// A port of the node that no other test of either mode uses.
fn port_of_node(here: &Namespace<'_>, number: u16) -> u16 {
    18000 + 2 * number + u16::from(here.mode() == Mode::Shared)
}

fn services(here: &Namespace<'_>) -> Result<()> {
    here.server("web")?;
    here.api().patch(&here.path("services/web"), &json!({"spec": {"type": "NodePort"}}))?;
    let address = here.address("web")?;
    let url = format!("http://{address}/hello");
    here.eventually("the Service answers the node", 30, || Ok(here.ask(&url)?.stdout == "hello by 0.2\n"))?;
    assert_eq!(asked(here, "asks", &url, Some(&format!("{address}:80")))?, HELLO);
    let refused = asked(here, "may-not", &url, None)?;
    assert!(refused.starts_with("error: "), "{refused}");
    let service = here.get("services/web")?.unwrap_or_default();
    let port = service.pointer("/spec/ports/0/nodePort").and_then(Value::as_u64).unwrap_or_default();
    let url = format!("http://{NODE}:{port}/hello");
    here.eventually("the node's port answers", 30, || Ok(here.ask(&url)?.stdout == "hello by 0.2\n"))
}

fn names(here: &Namespace<'_>) -> Result<()> {
    here.server("web")?;
    let (full, short) = (format!("web.{}.svc.cluster.local", here.name()), "web");
    for (number, (host, egress)) in
        [(full.as_str(), "*.svc.cluster.local:80"), (short, "web:80")].into_iter().enumerate()
    {
        let mut answer = String::new();
        // The name server hears of the Service a moment later.
        for attempt in 0..10 {
            answer = asked(
                here,
                &format!("asks-{number}-{attempt}"),
                &format!("http://{host}/hello"),
                Some(egress),
            )?;
            if answer == HELLO {
                break;
            }
        }
        ensure!(answer == HELLO, "{host}: {answer}");
    }
    let refused = asked(here, "may-not", &format!("http://{full}/hello"), Some("*.example.com:80"))?;
    assert!(refused.starts_with("error: "), "{refused}");
    Ok(())
}

fn pod_addresses(here: &Namespace<'_>) -> Result<()> {
    let listens = with(
        guest_container("guest", "sockets", &["accept", "0.0.0.0:9000"]),
        json!({"ports": [{"containerPort": 9000}]}),
    );
    here.pod("listens", json!({"containers": [listens]}))?;
    here.says("listens", "guest", "ok listening")?;
    let peer = format!("{}:9000", here.pod_address("listens")?);
    let connects = guest_container("guest", "sockets", &["connect", &peer]);
    here.annotated_pod("connects", json!({"run.wasm/egress": peer}), json!({"containers": [connects]}))?;
    assert_eq!(here.output("connects")?, format!("ok connected to {peer}\n"));
    let heard = here.output("listens")?;
    let address = here.pod_address("connects")?;
    assert!(heard.ends_with(&format!("ok echoed 0 bytes to {address}\n")), "{heard}");
    Ok(())
}

fn across_nodes(here: &Namespace<'_>) -> Result<()> {
    for (name, home, client, away) in
        [("far", WORKER, "near-asks", FIRST), ("near", FIRST, "far-asks", WORKER)]
    {
        here.pod(name, json!({"nodeName": home, "containers": [server()]}))?;
        here.service(name, 8080)?;
        here.ready(name)?;
        let url = format!("http://{name}.{}.svc.cluster.local/hello", here.name());
        let mut answer = String::new();
        // The name server and the other node hear of the Service a moment later.
        for attempt in 0..10 {
            let asks = format!("{client}-{attempt}");
            here.annotated_pod(
                &asks,
                json!({"run.wasm/egress": "*.svc.cluster.local:80"}),
                json!({
                    "nodeName": away, "containers": [guest_container("guest", "http", &[&url])],
                }),
            )?;
            here.ended(&asks)?;
            answer = here.log(&asks, "")?;
            if answer == HELLO {
                break;
            }
        }
        ensure!(answer == HELLO, "{url} from {away}: {answer}");
    }
    Ok(())
}

/// The node's own address.
const NODE: &str = "10.99.0.2";

fn host_network(here: &Namespace<'_>) -> Result<()> {
    let port = port_of_node(here, 0);
    let server = with(guest_container("server", "serve", &[]), json!({"ports": [{"containerPort": port}]}));
    here.annotated_pod(
        "web",
        json!({"run.wasm/http-port": port.to_string()}),
        json!({"hostNetwork": true, "containers": [server]}),
    )?;
    let web = here.running("web")?;
    assert_eq!(text(&web, "/status/podIP")?, NODE);
    let url = format!("http://{NODE}:{port}/hello");
    here.eventually("the server answers at the node's address", 30, || {
        Ok(here.ask(&url)?.stdout == "hello by 0.2\n")
    })
}

fn host_port(here: &Namespace<'_>) -> Result<()> {
    let port = port_of_node(here, 1);
    let server = with(
        guest_container("server", "serve", &[]),
        json!({
            "ports": [{"containerPort": 8080, "hostPort": port}],
        }),
    );
    here.pod("web", json!({"containers": [server]}))?;
    here.running("web")?;
    let url = format!("http://{NODE}:{port}/hello");
    here.eventually("the node's port answers", 30, || Ok(here.ask(&url)?.stdout == "hello by 0.2\n"))
}

/// Forwards a port, asks through it, and ends the forwarding.
const FORWARD: &str = r#"
kubectl --namespace "$0" port-forward pod/web :8080 >"$1" 2>&1 & forward=$!
trap 'kill $forward' EXIT
until port=$(sed -n 's/^Forwarding from 127.0.0.1:\([0-9]*\) .*/\1/p' "$1") && [ -n "$port" ]; do sleep 0.1; done
curl --silent --show-error --fail "http://127.0.0.1:$port/hello" "http://127.0.0.1:$port/env/HOSTNAME"
"#;

fn port_forward(here: &Namespace<'_>) -> Result<()> {
    here.server("web")?;
    let (_, inside) = here.folder()?;
    let log = format!("{inside}/forward.log");
    let outcome = here.cluster().run(&["timeout", "60", "bash", "-c", FORWARD, here.name(), &log])?;
    if outcome.stdout != "hello by 0.2\nweb" {
        bail!("{outcome}");
    }
    Ok(())
}
