//! A name opens an address to a guest that asked for the name, and nothing else does. The name servers are the pod's.

use testkit::peers::{Dns, Web, settle};
use testkit::{Containerd, Run};

/// Of the world's, with a plain web server each (RFC 5737, RFC 3849).
const SERVER: &str = "203.0.113.7";
const OTHER: &str = "203.0.113.8";
const SIX: &str = "2001:db8::7";

/// Runs `sockets each` with a grant.
fn each<'a>(daemon: &'a Containerd, egress: &str, hosts: &[&str]) -> Run<'a> {
    let run = daemon.run("sockets.wasm").host_network().annotation("run.wasm/egress", egress);
    run.args(std::iter::once("each").chain(hosts.iter().copied()))
}

/// Servers for port 80 at all three addresses.
fn town(daemon: &Containerd) -> anyhow::Result<[Web; 3]> {
    for address in [SERVER, OTHER, SIX] {
        settle(daemon.nest(), address)?;
    }
    let web = |address: &str| Web::plain(daemon.nest(), address);
    Ok([web("203.0.113.7:80")?, web("203.0.113.8:80")?, web("[2001:db8::7]:80")?])
}

testkit::stories! {
    fn a_granted_name_opens_its_addresses_to_who_asked_for_it(daemon) {
        let _servers = town(daemon)?;
        let dns = Dns::start(daemon.nest())?;
        dns.says("api.example.com", &[SERVER, SIX])?;
        let asked = each(daemon, "api.example.com:80", &["api.example.com:80", "203.0.113.7:80", "203.0.113.8:80"]).outcome()?;
        assert_eq!(
            asked.stdout,
            "ok api.example.com:80=[203.0.113.7 ok, 2001:db8::7 ok] 203.0.113.7:80=[203.0.113.7 ok] \
             203.0.113.8:80=[203.0.113.8 PermissionDenied]\n"
        );
        let raw = each(daemon, "api.example.com:80", &["203.0.113.7:80"]).outcome()?;
        assert_eq!(raw.stdout, "ok 203.0.113.7:80=[203.0.113.7 PermissionDenied]\n", "it did not ask");
        let p3 = daemon.run("sockets.p3.wasm").host_network().annotation("run.wasm/egress", "api.example.com:80");
        assert_eq!(p3.args(["resolve", "api.example.com"]).outcome()?.stdout, "ok 2001:db8::7 203.0.113.7\n");
        let port = each(daemon, "api.example.com:81-90", &["api.example.com:80"]).outcome()?;
        assert_eq!(port.stdout, "ok api.example.com:80=[203.0.113.7 PermissionDenied, 2001:db8::7 PermissionDenied]\n");
    }

    fn a_name_that_is_not_granted_is_not_looked_up(daemon) {
        let dns = Dns::start(daemon.nest())?;
        dns.says("secret.example.org", &[SERVER])?;
        for egress in ["api.example.com", "*.example.com", "0.0.0.0/0", ""] {
            for file in ["sockets.wasm", "sockets.p3.wasm"] {
                let refused = daemon.run(file).host_network().annotation("run.wasm/egress", egress);
                let refused = refused.args(["resolve", "secret.example.org"]).outcome()?;
                assert!(refused.code == 1 && refused.stdout.starts_with("error: "), "{egress}: {refused}");
            }
        }
        assert_eq!(dns.asked(), Vec::<String>::new());
    }

    fn an_answer_that_is_too_long_for_a_datagram_is_asked_for_by_tcp(daemon) {
        let dns = Dns::start(daemon.nest())?;
        dns.says("api.example.com", &[SERVER, OTHER, SIX])?;
        dns.truncates();
        for file in ["sockets.wasm", "sockets.p3.wasm"] {
            let run = daemon.run(file).host_network().annotation("run.wasm/egress", "api.example.com:80");
            let found = run.args(["resolve", "api.example.com"]).outcome()?;
            assert_eq!(found.stdout, "ok 2001:db8::7 203.0.113.7 203.0.113.8\n", "{found}");
        }
    }

    fn a_wildcard_is_for_what_is_below_it(daemon) {
        let _servers = town(daemon)?;
        let dns = Dns::start(daemon.nest())?;
        dns.says("example.com", &[OTHER])?;
        dns.says("a.b.example.com", &[SERVER])?;
        let seen = each(daemon, "*.example.com", &["a.b.example.com:80", "example.com:80"]).outcome()?.stdout;
        assert!(seen.starts_with("ok a.b.example.com:80=[203.0.113.7 ok] example.com:80=["), "{seen}");
        assert!(!dns.asked().contains(&"example.com".to_owned()));
    }

    fn a_short_name_is_completed_by_the_pods_search_list(daemon) {
        let _servers = town(daemon)?;
        let dns = Dns::start(daemon.nest())?;
        dns.says("db.corp.example", &[SERVER])?;
        let completed = each(daemon, "*.corp.example:80", &["db:80"]).outcome()?;
        assert_eq!(completed.stdout, "ok db:80=[203.0.113.7 ok]\n");
        assert!(!dns.asked().contains(&"db".to_owned()), "the bare name was not granted");
        let bare = each(daemon, "db:80", &["db:80"]).outcome()?;
        assert_eq!(bare.stdout, "ok db:80=[203.0.113.7 ok]\n");
    }

    fn a_rebound_name_leads_nowhere_else(daemon) {
        let _servers = town(daemon)?;
        let _inner = Web::plain(daemon.nest(), "127.0.0.1:80")?;
        let dns = Dns::start(daemon.nest())?;
        for inward in ["127.0.0.1", "169.254.169.254", "203.0.113.8", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "0.0.0.0"] {
            dns.says("rebound.example.com", &[SERVER])?;
            dns.then("rebound.example.com", &[inward])?;
            let run = each(daemon, "rebound.example.com:80", &["rebound.example.com:80", "rebound.example.com:80"]);
            let seen = run.config("[egress]\ndeny-cidrs = [\"203.0.113.8/32\"]\n").outcome()?.stdout;
            let (first, second) = seen.split_once("] ").unwrap_or_default();
            assert!(first.contains("203.0.113.7 ok"), "{seen}");
            assert!(second.contains("rebound") && !second.contains("ok"), "{inward}: {seen}");
        }
    }

    fn what_is_no_name_opens_nothing(daemon) {
        let _servers = town(daemon)?;
        let _inner = Web::plain(daemon.nest(), "127.0.0.1:80")?;
        let dns = Dns::start(daemon.nest())?;
        for spelled in ["0x7f.1:80", "2130706433:80", "127.1:80", "[::ffff:203.0.113.7]:80", "[::ffff:7f00:1]:80", "0.0.0.0:80", "[::]:80"] {
            let seen = each(daemon, "*, 0.0.0.0/0:443, [::/0]", &[spelled]).outcome()?.stdout;
            assert!(seen.starts_with("ok ") && !seen.contains(" ok"), "{spelled}: {seen}");
        }
        assert_eq!(dns.asked(), Vec::<String>::new());
    }

    fn a_grant_by_name_without_name_servers_is_refused(daemon) {
        let run = daemon.run("sockets.wasm").annotation("run.wasm/egress", "10.0.0.1, api.example.com:443");
        let refusal = run.args(["resolve", "api.example.com"]).outcome()?.refusal()?;
        assert!(refusal.contains("`api.example.com:443`") && refusal.contains("has no /etc/resolv.conf"), "{refusal}");
        let local = daemon.run("sockets.wasm").annotation("run.wasm/egress", "localhost:80");
        assert_eq!(local.args(["resolve", "localhost"]).outcome()?.stdout, "ok 127.0.0.1 ::1\n");
    }

    fn a_connected_datagram_goes_to_its_peer_alone(daemon) {
        settle(daemon.nest(), SERVER)?;
        settle(daemon.nest(), OTHER)?;
        let dns = Dns::start(daemon.nest())?;
        dns.says("log.example.com", &[SERVER])?;
        let run = daemon.run("sockets.wasm").host_network().annotation("run.wasm/egress", "udp://log.example.com:514");
        let sent = run.args(["udp-peers", "log.example.com:514", "203.0.113.8:514"]).outcome()?;
        assert!(sent.stdout.starts_with("ok peer: sent, other: ") && !sent.stdout.contains("other: sent"), "{sent}");
        let stranger = daemon.run("sockets.wasm").host_network().annotation("run.wasm/egress", "udp://log.example.com:514");
        let denied = stranger.args(["udp", "203.0.113.7:514"]).outcome()?;
        assert!(denied.stdout.starts_with("error: PermissionDenied"), "{denied}");
    }
}
