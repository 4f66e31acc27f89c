//! What a container's HTTP server is given.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;
use support::{annotated, granted, refused};

#[test]
fn a_server_listens_on_its_own_port_then_on_the_first_declared_one_then_on_8080() {
    let port = |annotations| granted(json!({ "annotations": annotations })).http().port.get();
    let declared = r#"[{"containerPort":53,"protocol":"UDP"},{"containerPort":9000},{"containerPort":80}]"#;
    assert_eq!(port(json!({})), 8080);
    assert_eq!(port(json!({ "io.kubernetes.container.ports": declared })), 9000);
    assert_eq!(port(json!({ "run.wasm/listen": "53/udp, 81/tcp" })), 81);
    assert_eq!(port(json!({ "io.kubernetes.container.ports": declared, "run.wasm/http-port": "70" })), 70);
}

#[test]
fn to_serve_opens_no_other_network() {
    let grants = granted(annotated("run.wasm/http-port", "9000"));
    assert!(grants.listen().is_closed() && !grants.uses_network());
    assert!(grants.table().contains("http       port 9000 if it serves\n"));
}

#[test]
fn what_a_pod_leaves_out_has_a_bound() {
    let http = *granted(json!({})).http();
    assert_eq!((http.max_instances.get(), http.timeout), (128, Duration::from_secs(60)));
    assert_eq!((http.reuse, http.concurrency, http.max_body, http.access_log), (None, None, None, false));
}

#[test]
fn a_container_s_own_server_is_told_apart() {
    let grants = granted(json!({ "annotations": {
        "io.kubernetes.cri.container-name": "web",
        "run.wasm/http-reuse": "10",
        "run.wasm/web.http-reuse": "20",
        "run.wasm/job.http-reuse": "30",
        "run.wasm/http-concurrency": "5",
        "run.wasm/http-max-instances": "7",
        "run.wasm/http-timeout": "1m30s",
        "run.wasm/http-max-body": "1MiB",
        "run.wasm/http-access-log": "on",
    }}));
    let http = grants.http();
    assert_eq!(http.reuse.unwrap().get(), 20);
    assert_eq!((http.concurrency.unwrap().get(), http.max_instances.get()), (5, 7));
    assert_eq!(
        (http.timeout, http.max_body, http.access_log),
        (Duration::from_secs(90), Some(1 << 20), true)
    );
    let row = "http       port 8080 if it serves, at most 7 instances, answers begin within 90s, 20 requests an instance, 5 of \
               them at once, bodies of at most 1MiB\n";
    assert!(grants.table().contains(row), "{}", grants.table());
}

#[test]
fn mistakes_name_the_part_and_show_a_right_one() {
    for (key, value, why, example) in [
        ("port", "0", "`0` is no port; ports are 1 to 65535", "8080"),
        ("port", "8080/tcp", "`8080/tcp` is no port; ports are 1 to 65535", "8080"),
        ("reuse", "0", "`0` is not a whole number from 1 to 4294967295", "100"),
        ("reuse", "+1", "`+1` is not a whole number from 1 to 4294967295", "100"),
        ("concurrency", "1001", "`1001` is not a whole number from 1 to 1000", "16"),
        ("max-instances", "many", "`many` is not a whole number from 1 to 1000", "64"),
        ("timeout", "0", r#"`0` is not a time such as "90s", "5m", "500ms" or a number of seconds"#, "30s"),
        (
            "max-body",
            "10MB",
            r#"`10MB` is not a size such as "512MiB", "2GiB" or a number of bytes"#,
            "10MiB",
        ),
        ("access-log", "yes", "`yes` is neither `on` nor `off`", "on"),
    ] {
        assert_eq!(
            refused(annotated(&format!("run.wasm/http-{key}"), value)),
            format!(
                "annotation run.wasm/http-{key}: {why}; a right one is `run.wasm/http-{key}: \"{example}\"`"
            )
        );
    }
    assert!(refused(annotated("run.wasm/http-reuze", "1")).contains("did you mean run.wasm/http-reuse?"));
}

proptest! {
    #[test]
    fn counts_are_what_they_say_or_are_refused(number in 0u64..5000, text in "[0-9 +x]{0,6}") {
        let asked = granted_or_refused(&number.to_string());
        prop_assert_eq!(asked, (1..=1000).contains(&number).then_some(number));
        let plain = text.trim().bytes().all(|byte| byte.is_ascii_digit());
        let wanted = text.trim().parse::<u64>().ok().filter(|number| plain && (1..=1000).contains(number));
        prop_assert_eq!(granted_or_refused(&text), wanted);
    }
}

fn granted_or_refused(concurrency: &str) -> Option<u64> {
    let spec = support::spec(annotated("run.wasm/http-concurrency", concurrency));
    let grants = grants::derive(&spec, &grants::Policy::default()).ok()?;
    grants.http().concurrency.map(|count| count.get().into())
}
