//! The `run.wasm/` annotations: which are known, whose wins, and what a mistake reads like.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::Path;

use grants::{Mode, Policy, Transport, derive, prewarm};
use serde_json::json;
use support::{annotated, granted, refused, spec};

const EGRESS_EXAMPLE: &str =
    r#"; a right one is `run.wasm/egress: "api.example.com:443, 10.0.0.0/8:5432, *.svc.cluster.local"`"#;

#[test]
fn without_annotations_the_network_is_closed() {
    let grants = granted(json!({}));
    assert!(grants.egress().is_closed() && grants.listen().is_closed() && !grants.uses_network());
    assert!(granted(annotated("run.wasm/egress", " ")).egress().is_closed());
}

#[test]
fn a_container_s_own_annotation_wins_and_another_s_means_nothing() {
    let of = |container: &str| {
        let spec = spec(json!({ "annotations": {
            "io.kubernetes.cri.container-name": container,
            "run.wasm/egress": "all.example.com",
            "run.wasm/web.egress": "web.example.com",
            "run.wasm/closed.egress": "",
        }}));
        let grants = derive(&spec, &Policy::default()).unwrap();
        grants.egress().rules().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(of("web"), ["web.example.com"]);
    assert_eq!(of("job"), ["all.example.com"]);
    assert!(of("closed").is_empty());
}

#[test]
fn a_container_s_annotation_without_a_container_name_is_an_error() {
    assert_eq!(
        refused(annotated("run.wasm/web.egress", "a.example.com")),
        "annotation run.wasm/web.egress is for container `web`, but this container has no name (it does not come from \
         Kubernetes); write run.wasm/egress"
    );
}

#[test]
fn an_unknown_key_is_an_error_with_the_nearest_right_one() {
    assert_eq!(
        refused(annotated("run.wasm/egres", "a.example.com")),
        "annotation run.wasm/egres: there is no key `egres`, did you mean run.wasm/egress?; this release knows clock, \
         coredump, egress, http-access-log, http-concurrency, http-max-body, http-max-instances, http-port, http-reuse, \
         http-timeout, listen, mode, plug, profile, random, timeout"
    );
    assert!(refused(annotated("run.wasm/LISTEN", "80")).contains("did you mean run.wasm/listen?"));
    assert!(!refused(annotated("run.wasm/frobnicate", "1")).contains("did you mean"));
    assert!(refused(annotated("run.wasm/", "1")).contains("there is no key ``"));
    let own =
        json!({ "annotations": { "io.kubernetes.cri.container-name": "web", "run.wasm/web.listn": "80" } });
    assert!(refused(own).starts_with(
        "annotation run.wasm/web.listn: there is no key `listn`, did you mean run.wasm/listen?"
    ));
}

#[test]
fn plugs_are_files_in_the_order_in_which_they_are_named() {
    let grants = granted(annotated("run.wasm/plug", "/deps/b.wasm, /deps//./a.wasm"));
    assert_eq!(grants.plugs(), [Path::new("/deps/b.wasm"), Path::new("/deps/a.wasm")]);
    assert!(grants.table().contains("/deps/b.wasm, /deps/a.wasm"), "{}", grants.table());
    assert!(granted(json!({})).plugs().is_empty());
    let many = vec!["/a"; 40].join(",");
    for (value, why) in [
        ("", "it names no file"),
        ("deps/a.wasm", "`deps/a.wasm` is not absolute"),
        ("/deps/../a.wasm", "`/deps/../a.wasm` contains `..`"),
        ("/a.wasm, /b.wasm, /./a.wasm", "it names `/a.wasm` twice"),
        ("/a.wasm,,/b.wasm", "`/a.wasm,,/b.wasm` has an empty part between its commas"),
        (many.as_str(), "it names 40 files; the limit is 31"),
    ] {
        assert_eq!(
            refused(annotated("run.wasm/plug", value)),
            format!(
                "annotation run.wasm/plug: {why}; a right one is `run.wasm/plug: \"/deps/math.wasm, /deps/text.wasm\"`"
            )
        );
    }
}

#[test]
fn annotations_of_others_are_left_alone() {
    let grants = granted(
        json!({ "annotations": { "example.com/egress": "?", "run.wasm": "?", "run.wasmx/egress": "?" } }),
    );
    assert!(!grants.uses_network());
}

#[test]
fn mistakes_in_an_egress_list_name_the_part_and_show_a_right_one() {
    for (value, why) in [
        (
            "a.example.com,,b.example.com",
            "`a.example.com,,b.example.com` has an empty part between its commas",
        ),
        ("a.example.com,", "`a.example.com,` has an empty part between its commas"),
        ("ftp://a.example.com", "`ftp` is no scheme; there are http, https, tcp and udp"),
        ("a.example.com:0", "`0` is no port; ports are 1 to 65535, a range is written `8000-8080`"),
        ("a.example.com:65536", "`65536` is no port; ports are 1 to 65535, a range is written `8000-8080`"),
        ("a.example.com:+80", "`+80` is no port; ports are 1 to 65535, a range is written `8000-8080`"),
        ("a.example.com:http", "`http` is no port; ports are 1 to 65535, a range is written `8000-8080`"),
        ("a.example.com:90-80", "`90-80` is a range that ends before it begins"),
        ("fd00::1", "`fd00::1` looks like IPv6; write it in brackets, such as `[fd00::1]`"),
        ("[fd00::1]80", "`[fd00::1]80` has text after the bracket; only `:port` may follow"),
        ("[10.0.0.1]", "`[10.0.0.1]` is IPv4 in brackets; write it without them"),
        ("[::ffff:10.0.0.1]", "`::ffff:10.0.0.1` is IPv4-mapped IPv6; write the IPv4 address"),
        ("10.0.0.1/8", "`10.0.0.1/8` has bits set beyond its prefix; write `10.0.0.0/8`"),
        ("10.0.0.0/33", "`10.0.0.0/33` is neither an address nor a CIDR such as `10.0.0.0/8`"),
        ("10.0.0.256", "`10.0.0.256` is not an IPv4 address, nor a name: names do not end in a number"),
        ("127.1", "`127.1` is not an IPv4 address, nor a name: names do not end in a number"),
        ("0.0.0.0", "`0.0.0.0` means this host itself and is never reached; write 127.0.0.1 or [::1]"),
        ("[::]:80", "`::` means this host itself and is never reached; write 127.0.0.1 or [::1]"),
        ("https://a.example.com/path", "`a.example.com/path` has a path; egress knows hosts and ports only"),
        (
            "a.*.example.com",
            "`a.*.example.com` has a `*` inside; it stands only at the front, as in `*.example.com`",
        ),
        ("bücher.example", "`bücher.example` is not ASCII; write the name in its `xn--` form"),
        ("a b", "`a b` is not a name: labels are 1 to 63 letters, digits, `-` or `_`"),
        (":80", "`` has no host"),
    ] {
        assert_eq!(
            refused(annotated("run.wasm/egress", value)),
            format!("annotation run.wasm/egress: {why}{EGRESS_EXAMPLE}")
        );
    }
}

#[test]
fn ports_come_from_kubelet_and_from_the_annotation_together() {
    let grants = granted(json!({ "annotations": {
        "io.kubernetes.container.ports": r#"[{"name":"web","containerPort":8080,"protocol":"TCP","hostIP":"1.2.3.4"},{"containerPort":53}]"#,
        "run.wasm/listen": "9000, 53/UDP, 8080/tcp",
    }}));
    let ports: Vec<_> = grants.listen().ports().iter().map(ToString::to_string).collect();
    assert_eq!(ports, ["8080/tcp", "53/tcp", "9000/tcp", "53/udp"]);
    assert!(grants.uses_network());
    assert!(granted(annotated("io.kubernetes.container.ports", "null")).listen().is_closed());
}

#[test]
fn mistakes_in_ports_name_the_part_and_show_a_right_one() {
    let example = r#"; a right one is `run.wasm/listen: "8080/tcp, 53/udp"`"#;
    for (value, why) in [
        ("http", "`http` is no port; ports are 1 to 65535, such as `8080/tcp`"),
        ("0", "`0` is no port; ports are 1 to 65535, such as `8080/tcp`"),
        ("+1", "`+1` is no port; ports are 1 to 65535, such as `8080/tcp`"),
        ("70000/tcp", "`70000` is no port; ports are 1 to 65535, such as `8080/tcp`"),
        ("80/sctp", "`sctp` is no transport; there are tcp and udp"),
    ] {
        assert_eq!(
            refused(annotated("run.wasm/listen", value)),
            format!("annotation run.wasm/listen: {why}{example}")
        );
    }
    for json in ["{", "[{}]", r#"[{"containerPort":0}]"#, r#"[{"containerPort":1,"protocol":"SCTP"}]"#] {
        let sentence = refused(annotated("io.kubernetes.container.ports", json));
        assert!(sentence.starts_with("annotation io.kubernetes.container.ports: "), "{sentence}");
    }
}

#[test]
fn a_pod_chooses_between_two_modes() {
    for mode in ["normal", "shared"] {
        assert_eq!(granted(annotated("run.wasm/mode", mode)).mode().to_string(), mode);
    }
    assert_eq!(
        refused(annotated("run.wasm/mode", "fast")),
        "annotation run.wasm/mode: `fast` is no mode; write `normal` or `shared`; a right one is `run.wasm/mode: \
         \"shared\"`"
    );
}

#[test]
fn of_several_mistakes_always_the_same_is_reported() {
    let mistakes = || json!({ "annotations": { "run.wasm/b": "", "run.wasm/a": "", "run.wasm/c": "" } });
    let first = refused(mistakes());
    assert!(first.contains("run.wasm/a:"), "{first}");
    assert!((0..20).all(|_| refused(mistakes()) == first));
}

#[test]
fn udp_and_tcp_are_told_apart() {
    let grants = granted(annotated("run.wasm/listen", "53/udp"));
    assert!(grants.listen().allows(53, Transport::Udp) && !grants.listen().allows(53, Transport::Tcp));
}

#[test]
fn a_port_that_is_not_declared_says_what_would_allow_it() {
    let none = granted(json!({}));
    let cure = none.listen().cure(53, Transport::Udp);
    assert_eq!(cure, "run.wasm/listen: \"53/udp\" allows it, and so does `ports` of the pod");
    assert!(none.listen().cure(0, Transport::Tcp).starts_with("no grant allows it"));
}

/// The dump that a container with these volumes gets on a node that allows 1 MiB.
fn dump(place: &str, mounts: serde_json::Value) -> Result<String, String> {
    let policy = Policy::parse("[limits]\ncoredump = \"1MiB\"").unwrap();
    let spec = spec(json!({ "annotations": { "run.wasm/coredump": place }, "mounts": mounts }));
    let grants = derive(&spec, &policy).map_err(|error| error.to_string())?;
    let dump = grants.coredump().unwrap();
    assert_eq!(dump.max_bytes, 1 << 20);
    assert!(grants.table().contains(&format!("core dump  {}, at most 1MiB\n", dump.path)));
    Ok(dump.path.clone())
}

#[test]
fn a_core_dump_goes_into_a_volume_that_can_be_written() {
    let volume = |at: &str, access: &str| json!({ "type": "bind", "source": "/srv", "destination": at, "options": [access] });
    let written = || json!([volume("/dumps", "rw"), volume("/dumps/closed", "ro"), volume("/etc/app", "ro")]);
    assert_eq!(dump("/dumps//app/./core.wasm", written()).unwrap(), "/dumps/app/core.wasm");
    let example = "; a right one is `run.wasm/coredump: \"/dumps/core.wasm\"`";
    for (place, why) in [
        ("", "`` is not absolute"),
        ("core", "`core` is not absolute"),
        ("/dumps/", "`/dumps/` is a folder; name a file in it"),
        ("/dumps/../etc/core", "`/dumps/../etc/core` contains `..`"),
        ("/dumps", "`/dumps` is in no volume of the container; name a file below a `mountPath`"),
        (
            "/dumpster/core",
            "`/dumpster/core` is in no volume of the container; name a file below a `mountPath`",
        ),
        (
            "/etc/app/core",
            "`/etc/app/core` is in the volume at `/etc/app`, which is read-only; name a file below one that is not",
        ),
        (
            "/dumps/closed/core",
            "`/dumps/closed/core` is in the volume at `/dumps/closed`, which is read-only; name a file below one that is not",
        ),
    ] {
        assert_eq!(
            dump(place, written()).unwrap_err(),
            format!("annotation run.wasm/coredump: {why}{example}")
        );
    }
    let covered = json!([volume("/dumps/closed", "ro"), volume("/dumps", "rw")]);
    assert_eq!(dump("/dumps/closed/core", covered).unwrap(), "/dumps/closed/core");
}

#[test]
fn a_node_allows_core_dumps_or_there_are_none() {
    assert!(granted(json!({})).coredump().is_none());
    let refused = refused(annotated("run.wasm/coredump", "/dumps/core.wasm"));
    assert!(
        refused
            .starts_with("annotation run.wasm/coredump: this node allows no core dumps; `limits.coredump`"),
        "{refused}"
    );
}

#[test]
fn a_container_that_warms_the_cache_names_the_modes_that_it_does_it_for() {
    let modes = |value: &str, allowed: &[Mode]| prewarm(&spec(annotated("run.wasm/prewarm", value)), allowed);
    let both = [Mode::Normal, Mode::Shared];
    assert_eq!(modes("normal, shared", &both), Ok(Some(both.to_vec())));
    assert_eq!(modes("normal, shared", &[Mode::Shared]), Ok(Some(vec![Mode::Shared])));
    assert!(modes("fast", &both).unwrap_err().to_string().contains("`fast` is no mode"));
    assert_eq!(prewarm(&spec(json!({})), &both), Ok(None));
    assert!(derive(&spec(annotated("run.wasm/prewarm", "normal")), &Policy::default()).is_ok());
}

#[test]
fn a_pod_does_not_warm_the_cache() {
    for kind in ["sandbox", "container"] {
        let spec = spec(json!({ "annotations": {
            "io.kubernetes.cri.container-type": kind,
            "run.wasm/prewarm": "normal",
        }}));
        let refused = prewarm(&spec, &[Mode::Normal]).unwrap_err().to_string();
        assert!(refused.contains("run.wasm/prewarm") && refused.contains("leave it out"), "{refused}");
    }
}
