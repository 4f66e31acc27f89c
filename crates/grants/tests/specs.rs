//! Whole specs as containerd writes them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::Path;

use grants::{
    ContainerType, Cpu, DropReason, Grants, NetNs, Policy, Transport, VolumeSource, container_name,
    container_type, derive, network_namespace, pod, sandbox_id,
};
use support::{granted, real, refused};

use serde_json::json;

fn dropped(grants: &Grants) -> Vec<(&str, DropReason)> {
    grants.dropped().iter().map(|mount| (mount.destination.to_str().unwrap(), mount.reason)).collect()
}

#[test]
fn a_plain_ctr_run_gives_the_entry_the_environment_and_nothing_else() {
    let spec = real("ctr-run");
    let grants = derive(&spec, &Policy::default()).unwrap();
    assert_eq!(grants.entry().path, Path::new("/hello.wasm"));
    assert_eq!(grants.entry().function, None);
    assert_eq!(grants.args(), ["/hello.wasm"]);
    assert_eq!(grants.env(), [("GREETING".to_owned(), "hi".to_owned())]);
    assert_eq!((grants.cwd(), grants.terminal(), grants.open_files()), ("/", false, 1024));
    assert_eq!((grants.user().uid, grants.user().gid, grants.user().umask), (0, 0, 0o022));
    assert_eq!((grants.root().path.as_path(), grants.root().readonly), (Path::new("rootfs"), false));
    assert_eq!((grants.memory_limit(), grants.cpu()), (None, Cpu::default()));
    assert!(grants.volumes().is_empty() && !grants.uses_network() && grants.termination_message().is_none());
    assert_eq!(
        dropped(&grants),
        [
            ("/proc", DropReason::Kernel),
            ("/dev", DropReason::Device),
            ("/dev/pts", DropReason::Kernel),
            ("/dev/shm", DropReason::Device),
            ("/dev/mqueue", DropReason::Kernel),
            ("/sys", DropReason::Kernel),
            ("/run", DropReason::DefaultRun),
        ]
    );
    assert_eq!((container_type(&spec), network_namespace(&spec)), (ContainerType::Standalone, NetNs::New));
    assert_eq!((sandbox_id(&spec), container_name(&spec), pod(&spec)), (None, None, None));
}

#[test]
fn the_options_of_ctr_run_arrive() {
    let spec = real("ctr-run-options");
    let grants = derive(&spec, &Policy::default()).unwrap();
    assert_eq!(grants.args(), ["/hello.wasm", "one", "two"]);
    assert!(grants.env().contains(&("A".to_owned(), "b=c".to_owned())));
    assert!(grants.root().readonly);
    assert_eq!(grants.memory_limit(), Some(64 << 20));
    let [volume] = grants.volumes() else { panic!("one volume") };
    assert_eq!(volume.source, VolumeSource::Bind { path: "/srv/data".into(), recursive: true });
    assert_eq!((volume.destination.as_path(), volume.readonly), (Path::new("/data"), true));
    assert_eq!(grants.hosts(), Some(Path::new("/etc/hosts")));
    assert_eq!(grants.resolv_conf(), Some(Path::new("/etc/resolv.conf")));
    assert!(grants.egress().allows(&"127.0.0.1:8000".parse().unwrap(), Transport::Tcp, None));
    assert_eq!(network_namespace(&spec), NetNs::Node);
}

#[test]
fn a_container_of_a_pod_gets_what_its_pod_spec_says() {
    let spec = real("cri-container");
    let grants = derive(&spec, &Policy::default()).unwrap();
    assert_eq!(grants.entry().path, Path::new("/app/server.wasm"));
    assert_eq!(grants.entry().function.as_deref(), Some("serve"));
    assert_eq!(grants.args()[0], "/app/server.wasm#serve");
    assert_eq!(grants.cwd(), "/app");
    assert_eq!(
        (grants.user().uid, grants.user().additional_gids.as_slice()),
        (65532, [2000, 65532].as_slice())
    );
    assert!(grants.env().contains(&("QUERY".to_owned(), "a=1&b=2".to_owned())));
    assert_eq!(grants.env().iter().filter(|(name, _)| name == "LEVEL").count(), 1);
    assert!(grants.env().contains(&("LEVEL".to_owned(), "debug".to_owned())));
    assert_eq!(grants.memory_limit(), Some(128 << 20));
    assert_eq!(grants.cpu(), Cpu { quota: Some(50_000), period: 100_000, shares: 256 });
    assert_eq!(grants.open_files(), Policy::default().limits.open_files, "CRI sets no rlimit");

    let places: Vec<_> =
        grants.volumes().iter().map(|v| (v.destination.to_str().unwrap(), v.readonly)).collect();
    assert_eq!(
        places,
        [
            ("/data", false),
            ("/etc/shop/shop.toml", true),
            ("/var/run/secrets/kubernetes.io/serviceaccount", true)
        ]
    );
    assert!(grants.hosts().unwrap().ends_with("etc-hosts"));
    assert!(grants.hostname().unwrap().ends_with("hostname"));
    assert!(grants.resolv_conf().unwrap().ends_with("resolv.conf"));
    assert!(grants.termination_message().unwrap().ends_with("containers/server/0a1b2c3d"));
    assert!(dropped(&grants).contains(&("/dev/termination-log", DropReason::RuntimeWrites)));
    assert!(dropped(&grants).contains(&("/etc/hosts", DropReason::RuntimeReads)));
    assert!(dropped(&grants).contains(&("/dev/shm", DropReason::Device)));

    let rules: Vec<_> = grants.egress().rules().iter().map(ToString::to_string).collect();
    assert_eq!(rules, ["db.store.svc.cluster.local:5432", "10.0.0.0/8:8000-8999"], "its own annotation wins");
    assert!(grants.listen().allows(8080, Transport::Tcp) && grants.listen().allows(53, Transport::Udp));
    assert!(!grants.listen().allows(8080, Transport::Udp) && !grants.listen().allows(0, Transport::Tcp));

    assert_eq!(
        (container_type(&spec), sandbox_id(&spec)),
        (ContainerType::Container, Some("9b833d28843ebf88e5ea1f8ab43e277e47d95550ffa367bc10611a990c972a63"))
    );
    let pod = pod(&spec).unwrap();
    assert_eq!((pod.name, pod.namespace), ("shop-6d5f", "store"));
    assert_eq!(network_namespace(&spec), NetNs::Path("/proc/66/ns/net".into()));
}

#[test]
fn a_sandbox_stands_for_its_pod_and_names_the_pods_network() {
    let spec = real("cri-sandbox");
    let id = "9b833d28843ebf88e5ea1f8ab43e277e47d95550ffa367bc10611a990c972a63";
    assert_eq!((container_type(&spec), sandbox_id(&spec)), (ContainerType::Sandbox, Some(id)));
    let pod = pod(&spec).unwrap();
    assert_eq!((pod.name, pod.namespace), ("shop-6d5f", "store"));
    let network = NetNs::Path("/var/run/netns/cni-bc2a7662-f2c4-648b-1a16-43132e68fc1b".into());
    assert_eq!(network_namespace(&spec), network);
}

#[test]
fn the_table_reads_well_and_keeps_the_values_of_the_environment() {
    let grants = derive(&real("cri-container"), &Policy::default()).unwrap();
    let expected = "\
entry      /app/server.wasm, function serve
args       `/app/server.wasm#serve` and 1 more
env        PATH, HOSTNAME, LEVEL, KUBERNETES_SERVICE_HOST, QUERY
cwd        /app
user       65532:65532, groups 2000 65532, umask 022
terminal   no
/          read-only
";
    let table = grants.table();
    assert!(table.starts_with(expected), "{table}");
    for line in [
        "volume     /etc/shop/shop.toml read-only, from /var/lib/kubelet/pods/",
        "not given  /sys/fs/cgroup: a view of the kernel",
        "egress     db.store.svc.cluster.local:5432, 10.0.0.0/8:8000-8999",
        "listen     8080/tcp, 53/udp",
        "memory     128MiB",
        "cpu        50000 µs in 100000 µs, weight 256",
        "mode       normal",
    ] {
        assert!(table.contains(line), "{line} is not in\n{table}");
    }
    assert!(grants.line().starts_with(
        "entry /app/server.wasm, function serve | args `/app/server.wasm#serve` and 1 more | env PATH,"
    ));
    assert!(!grants.line().contains("not given"));
    assert!(!table.contains("debug") && !format!("{grants:?}").contains("debug"), "values may be secrets");
}

#[test]
fn a_pod_cannot_forge_a_line_of_the_log() {
    let grants = granted(json!({ "process": { "args": ["/a.wasm\negress     everything"] } }));
    assert!(!grants.table().contains("\negress     everything"));
    let grants = granted(json!({ "process": { "args": ["/a.wasm | egress everything"] } }));
    assert!(!grants.line().contains("| egress everything"), "{}", grants.line());
}

#[test]
fn grants_travel_as_json_unchanged() {
    for name in ["ctr-run", "ctr-run-options", "cri-container"] {
        let grants = derive(&real(name), &Policy::default()).unwrap();
        let text = serde_json::to_string(&grants).unwrap();
        assert_eq!(serde_json::from_str::<Grants>(&text).unwrap(), grants);
    }
}

#[test]
fn entries_are_a_path_a_function_or_both() {
    let entry = |arg: &str| {
        let entry = granted(json!({ "process": { "args": [arg] } })).entry().clone();
        (entry.path.to_str().unwrap().to_owned(), entry.function)
    };
    assert_eq!(entry("app.wasm"), ("app.wasm".to_owned(), None));
    assert_eq!(entry("/a.wasm#add"), ("/a.wasm".to_owned(), Some("add".to_owned())));
    assert_eq!(entry("#add"), (String::new(), Some("add".to_owned())));
    assert_eq!(entry("/a#wasi:cli/run@0.2.0#run").1.as_deref(), Some("wasi:cli/run@0.2.0#run"));
    let nothing = granted(json!({ "process": { "args": [] } }));
    assert!(nothing.entry().path.as_os_str().is_empty() && nothing.args().is_empty());
    let sentence = refused(json!({ "process": { "args": ["/a.wasm#"] } }));
    assert_eq!(
        sentence,
        "args[0] (`/a.wasm#`): ends in `#` without a function; write `path#function`, or the path alone"
    );
}

#[test]
fn broken_processes_are_refused_with_the_place() {
    for (change, expected) in [
        (json!({ "process": null }), "config.json has no `process`"),
        (json!({ "root": null }), "config.json has no `root`"),
        (json!({ "process": { "args": ["a", "b\u{0}c"] } }), "args[1] (`b\\0c`): has a NUL byte"),
        (json!({ "process": { "env": ["A=1", "B"] } }), "env[1] (`B`): has no `=`; write NAME=value"),
        (json!({ "process": { "env": ["=1"] } }), "env[0] (``): has no name before its `=`"),
        (json!({ "process": { "env": ["TOKEN=se\u{0}cret"] } }), "env[0] (`TOKEN`): has a NUL byte"),
        (json!({ "process": { "cwd": "app" } }), "the working directory `app` is not absolute"),
        (json!({ "process": { "cwd": "/a/../b" } }), "the working directory `/a/../b` contains `..`"),
        (json!({ "process": { "user": { "uid": u32::MAX } } }), "process.user has the id 4294967295"),
        (
            json!({ "process": { "user": { "additionalGids": [u32::MAX] } } }),
            "process.user has the id 4294967295",
        ),
        (
            json!({ "linux": { "namespaces": [{ "type": "user" }] } }),
            "linux.namespaces.user of the spec: a user namespace",
        ),
    ] {
        let sentence = refused(change);
        assert!(sentence.starts_with(expected), "{sentence}");
    }
}

#[test]
fn ten_thousand_arguments_arrive() {
    let args: Vec<String> = (0..10_000).map(|n| format!("argument {n}")).collect();
    assert_eq!(granted(json!({ "process": { "args": args } })).args(), args);
}

#[test]
fn what_a_guest_cannot_use_is_without_effect() {
    let plain = granted(json!({}));
    let privileged = granted(json!({
        "process": { "capabilities": { "bounding": ["CAP_SYS_ADMIN"] }, "noNewPrivileges": false },
        "linux": {
            "resources": { "devices": [{ "allow": true, "access": "rwm" }] },
            "sysctl": { "kernel.shmmax": "1" },
            "seccomp": { "defaultAction": "SCMP_ACT_ALLOW" },
        },
    }));
    assert_eq!(plain, privileged);
}

#[test]
fn limits_are_the_lower_of_the_pod_s_and_the_node_s() {
    let policy = Policy::parse("[limits]\nmemory = \"64MiB\"\nopen-files = 100").unwrap();
    let limits = |change| {
        let grants = derive(&support::spec(change), &policy).unwrap();
        (grants.memory_limit(), grants.open_files())
    };
    let asks = |memory: i64, files: u64| {
        json!({
            "process": { "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": files, "soft": files }] },
            "linux": { "resources": { "memory": { "limit": memory } } },
        })
    };
    assert_eq!(limits(json!({})), (Some(64 << 20), 100));
    assert_eq!(limits(asks(1 << 20, 10)), (Some(1 << 20), 10));
    assert_eq!(limits(asks(1 << 40, u64::MAX)), (Some(64 << 20), 100));
    assert_eq!(limits(asks(-1, 100)), (Some(64 << 20), 100), "-1 is unlimited");
    assert_eq!(granted(asks(-1, 1)).memory_limit(), None);
    let cpu = |quota: i64, period: u64| {
        granted(
            json!({ "linux": { "resources": { "cpu": { "quota": quota, "period": period, "shares": 2 } } } }),
        )
        .cpu()
    };
    assert_eq!(cpu(-1, 0), Cpu { quota: None, period: 100_000, shares: 2 });
    assert_eq!(cpu(2_000, 10_000), Cpu { quota: Some(2_000), period: 10_000, shares: 2 });
}
