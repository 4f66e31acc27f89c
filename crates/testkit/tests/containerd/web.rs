//! Outgoing HTTP: by name, by TLS, by HTTP/2, and no further than it was granted.

use std::fs;

use testkit::peers::{Authority, Dns, Web, settle};
use testkit::{Containerd, Run};

const SERVER: &str = "203.0.113.7";
const HOST: &str = "api.example.com";
const ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// An address of the world's, and a name server that knows it as `api.example.com`.
fn world(daemon: &Containerd) -> anyhow::Result<Dns<'_>> {
    settle(daemon.nest(), SERVER)?;
    let dns = Dns::start(daemon.nest())?;
    dns.says(HOST, &[SERVER])?;
    Ok(dns)
}

fn get<'a>(daemon: &'a Containerd, egress: &str, words: &[&str]) -> Run<'a> {
    let run = daemon.run("http.wasm").host_network().annotation("run.wasm/egress", egress);
    run.args(words.iter().copied())
}

testkit::stories! {
    fn a_page_is_fetched_by_the_name_that_was_granted(daemon) {
        let _dns = world(daemon)?;
        let _server = Web::plain(daemon.nest(), "203.0.113.7:80")?;
        let page = get(daemon, "http://api.example.com", &["http://api.example.com/"]).outcome()?;
        assert_eq!(page.stdout, "status 200\nhello by HTTP/1.1 from api.example.com", "{page}");
        for (egress, url) in [
            ("api.example.com:81", "http://api.example.com/"),
            ("https://api.example.com", "http://api.example.com/"),
            ("other.example.com", "http://api.example.com/"),
            ("api.example.com", "http://203.0.113.7/"),
            ("udp://api.example.com", "http://api.example.com/"),
        ] {
            let denied = get(daemon, egress, &[url]).outcome()?;
            assert!(denied.code == 1 && denied.stdout.contains("HttpRequestDenied"), "{egress} {url}: {denied}");
        }
    }

    fn https_is_trusted_by_the_roots_of_the_container(daemon) {
        let _dns = world(daemon)?;
        let authority = Authority::new()?;
        let _server = Web::secure(daemon.nest(), "203.0.113.7:443", &authority, HOST, &["h2", "http/1.1"])?;
        let _old = Web::secure(daemon.nest(), "203.0.113.7:8443", &authority, HOST, &[])?;
        let _wrong = Web::secure(daemon.nest(), "203.0.113.7:9443", &authority, "other.example.com", &["h2"])?;
        let pem = daemon.nest().folder().join("roots.pem");
        fs::write(&pem, authority.pem())?;
        let get = |url: &str| get(daemon, HOST, &[url]);
        let trusting = |url: &str| get(url).mount(&pem, "/roots/ca.pem", "rbind:ro").env("SSL_CERT_FILE", "/roots/ca.pem");
        let new = trusting("https://api.example.com/").outcome()?;
        assert_eq!(new.stdout, "status 200\nhello by HTTP/2 from api.example.com", "{new}");
        let old = trusting("https://api.example.com:8443/").outcome()?;
        assert_eq!(old.stdout, "status 200\nhello by HTTP/1.1 from api.example.com:8443", "{old}");
        let wrong = trusting("https://api.example.com:9443/").outcome()?;
        assert!(wrong.stdout.contains("TlsCertificateError"), "{wrong}");
        let strange = get("https://api.example.com/").outcome()?;
        assert!(strange.stdout.contains("TlsCertificateError"), "{strange}");
        let p3 = daemon.run("http.p3.wasm").host_network().annotation("run.wasm/egress", HOST);
        let p3 = p3.mount(&pem, ROOTS, "rbind:ro").args(["https://api.example.com/"]).outcome()?;
        assert!(p3.stdout.starts_with("status 200\nhello by HTTP/2 from api.example.com"), "{p3}");
        let by_place = get("https://api.example.com/").mount(&pem, ROOTS, "rbind:ro").outcome()?;
        assert!(by_place.stdout.starts_with("status 200"), "{by_place}");
        let folder = get("https://api.example.com/").mount(daemon.nest().folder(), "/roots", "rbind:ro").env("SSL_CERT_DIR", "/roots");
        let by_folder = folder.outcome()?;
        assert!(by_folder.stdout.starts_with("status 200"), "{by_folder}");
        let missing = get("https://api.example.com/").env("SSL_CERT_FILE", "/no/such/file").outcome()?;
        assert!(missing.stdout.contains("SSL_CERT_FILE=/no/such/file"), "{missing}");
    }

    fn https_is_trusted_by_the_roots_of_the_node(daemon) {
        let _dns = world(daemon)?;
        let authority = Authority::new()?;
        let _server = Web::secure(daemon.nest(), "203.0.113.7:443", &authority, HOST, &["http/1.1"])?;
        let pem = daemon.nest().folder().join("node-roots.pem");
        fs::write(&pem, authority.pem())?;
        assert!(daemon.nest().command("mount").arg("--bind").arg(&pem).arg(ROOTS).status()?.success());
        let page = get(daemon, HOST, &["https://api.example.com/"]).outcome()?;
        assert!(daemon.nest().command("umount").arg(ROOTS).status()?.success());
        assert_eq!(page.stdout, "status 200\nhello by HTTP/1.1 from api.example.com", "{page}");
    }

    fn a_redirect_is_decided_anew(daemon) {
        let dns = world(daemon)?;
        dns.says("inward.example.com", &["127.0.0.1"])?;
        let _server = Web::plain(daemon.nest(), "203.0.113.7:80")?;
        let _inner = Web::plain(daemon.nest(), "127.0.0.1:8080")?;
        for (to, wanted) in [
            ("127.0.0.1:8080", "HttpRequestDenied"),
            ("169.254.169.254", "HttpRequestDenied"),
            ("203.0.113.7", "HttpRequestDenied"),
            ("other.example.org", "HttpRequestDenied"),
            ("inward.example.com:8080", "DestinationIpProhibited"),
            ("api.example.com", "hello by HTTP/1.1"),
        ] {
            let url = format!("http://api.example.com/to/{to}");
            let seen = get(daemon, "*.example.com", &["--follow", &url]).outcome()?.stdout;
            assert!(seen.starts_with("status 302") && seen.contains(wanted), "{to}: {seen}");
        }
    }

    fn what_a_server_sends_without_end_is_bounded(daemon) {
        let _dns = world(daemon)?;
        let authority = Authority::new()?;
        let _plain = Web::plain(daemon.nest(), "203.0.113.7:80")?;
        let _secure = Web::secure(daemon.nest(), "203.0.113.7:443", &authority, HOST, &["h2"])?;
        let pem = daemon.nest().folder().join("roots.pem");
        fs::write(&pem, authority.pem())?;
        for scheme in ["http", "https"] {
            let get = |words: &[&str]| get(daemon, HOST, words).mount(&pem, ROOTS, "rbind:ro").memory(16 << 20).outcome();
            let head = get(&[&format!("{scheme}://api.example.com/head")])?;
            assert!(head.code == 1 && head.stdout.contains("ErrorCode::Http"), "{scheme}: {head}");
            // Far more than the memory, and it flows.
            let body = get(&["--first", "200000000", &format!("{scheme}://api.example.com/endless")])?;
            assert_eq!(body.stdout, "status 200\nread 200000000 bytes\n", "{scheme}: {body}");
        }
    }

    fn a_failure_is_told_by_its_kind(daemon) {
        let dns = world(daemon)?;
        dns.says("nobody.example.com", &[])?;
        for (url, wanted) in [
            ("http://api.example.com:81/", "ConnectionRefused"),
            ("http://missing.example.com/", "DnsError"),
            ("http://nobody.example.com/", "DnsError"),
            ("http://user@api.example.com/", "HttpRequestUriInvalid"),
        ] {
            let failed = get(daemon, "*.example.com", &[url]).outcome()?;
            assert!(failed.code == 1 && failed.stdout.contains(wanted), "{url}: {failed}");
        }
    }
}
