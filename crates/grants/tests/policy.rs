//! The node's config: what it may say, and what a mistake in it reads like.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::Duration;

use grants::policy::{LogFormat, Metered, Native};
use grants::{ByteSize, JailPart, Mode, Policy, Profile};

fn refused(text: &str) -> String {
    Policy::parse(text).unwrap_err().to_string()
}

#[test]
fn an_empty_config_is_the_default() {
    assert_eq!(Policy::parse("").unwrap(), Policy::default());
    let policy = Policy::default();
    assert_eq!(policy.cache.dir, Path::new("/var/lib/run-wasm/aot"));
    assert_eq!(policy.cache.max_bytes, ByteSize(2 << 30));
    assert_eq!(
        (policy.modes.as_slice(), policy.limits.memory),
        ([Mode::Normal, Mode::Shared].as_slice(), None)
    );
    assert!(policy.jail.require.is_empty() && policy.egress.allow.is_none());
}

#[test]
fn every_key_is_read() {
    let policy = Policy::parse(
        r#"
        native = "allow"
        native-runtime = "/usr/local/sbin/runc"
        modes = ["normal"]
        profiles = ["strict"]
        registry-hosts = "/etc/registry/hosts"
        require-signature = [{ prefix = "registry.example/", keys = ["/etc/run-wasm/keys/team.pub"] }]
        [cache]
        dir = "/var/cache/aot"
        max-bytes = "512MiB"
        [jail]
        require = ["landlock", "seccomp"]
        [limits]
        memory = 67108864
        open-files = 128
        timeout = "1h30m"
        fuel = 1_000_000
        coredump = "64MiB"
        [compile]
        memory = "1GiB"
        timeout = "5m"
        [egress]
        allow = ["*.example.com:443", "10.0.0.0/8"]
        deny-cidrs = ["10.96.0.0/12", "fd00::/8"]
        [observe]
        log = "json"
        metrics = "all"
        traces = "http://10.0.0.7:4317/"
        "#,
    )
    .unwrap();
    assert_eq!(
        (policy.cache.dir.as_path(), policy.cache.max_bytes),
        (Path::new("/var/cache/aot"), ByteSize(512 << 20))
    );
    assert_eq!(
        (policy.native, policy.native_runtime.as_path()),
        (Native::Allow, Path::new("/usr/local/sbin/runc"))
    );
    assert_eq!(policy.jail.require, [JailPart::Landlock, JailPart::Seccomp]);
    assert_eq!((policy.limits.memory, policy.limits.open_files), (Some(ByteSize(64 << 20)), 128));
    assert_eq!(policy.profiles, [Profile::Strict]);
    assert_eq!(
        (policy.require_signature.len(), policy.registry_hosts.as_path()),
        (1, Path::new("/etc/registry/hosts"))
    );
    assert_eq!(policy.limits.coredump, Some(ByteSize(64 << 20)));
    assert_eq!((policy.limits.timeout, policy.limits.fuel), (Some(Duration::from_secs(5400)), 1_000_000));
    assert_eq!(
        (policy.compile.memory, policy.compile.timeout),
        (ByteSize(1 << 30), Duration::from_secs(300))
    );
    assert_eq!(policy.egress.allow.unwrap().len(), 2);
    assert_eq!(policy.egress.deny_cidrs.len(), 2);
    assert_eq!((policy.observe.log, policy.observe.metrics), (LogFormat::Json, Metered::All));
    assert_eq!(policy.observe.traces.as_deref(), Some("http://10.0.0.7:4317/"));
}

#[test]
fn a_mistake_names_its_line_and_key() {
    for (text, expected) in [
        (
            "\n\n[limits]\nmemori = 5",
            "line 4 (`memori = 5`): unknown field `memori`, expected one of `memory`, `open-files`, `timeout`, `fuel`, `coredump`",
        ),
        ("frobnicate = 1", "line 1 (`frobnicate = 1`): unknown field `frobnicate`, expected one of"),
        (
            "[limits]\nmemory = \"5 apples\"",
            "line 2 (`memory = \"5 apples\"`): \"5 apples\" is not a size such as",
        ),
        ("[limits]\nmemory = -1", "line 2 (`memory = -1`): -1 is not a size such as"),
        ("[limits]\nmemory = 0", "line 2 (`memory = 0`): 0 is not a size such as"),
        ("[compile]\ntimeout = \"soon\"", "line 2 (`timeout = \"soon\"`): \"soon\" is not a time such as"),
        ("[limits]\nopen-files = 0", "line 2 (`open-files = 0`): "),
        ("[cache]\ndir = \"aot\"", "line 2 (`dir = \"aot\"`): the path is not absolute"),
        (
            "[jail]\nrequire = [\"selinux\"]",
            "line 2 (`require = [\"selinux\"]`): unknown variant `selinux`, expected `seccomp` or `landlock`",
        ),
        (
            "native = \"yes\"",
            "line 1 (`native = \"yes\"`): unknown variant `yes`, expected one of `deny`, `allow`, `allow-privileged`",
        ),
        (
            "native-runtime = \"bin/runc\"",
            "line 1 (`native-runtime = \"bin/runc\"`): this is neither a program's name nor an absolute path; write \"runc\"",
        ),
        ("[limits]\ntimeout = 0", "line 2 (`timeout = 0`): 0 is not a time such as"),
        ("[limits]\nfuel = 0", "line 2 (`fuel = 0`): a guest without fuel cannot run"),
        ("profiles = []", "line 1 (`profiles = []`): no profile is left"),
        ("profiles = [\"fast\"]", "line 1 (`profiles = [\"fast\"]`): unknown variant `fast`, expected"),
        ("modes = []", "line 1 (`modes = []`): no mode is left"),
        (
            "modes = [\"fast\"]",
            "line 1 (`modes = [\"fast\"]`): `fast` is no mode; write `normal` or `shared`",
        ),
        (
            "[egress]\nallow = [\n  \"a.example.com\",\n  \"fd00::1\",\n]",
            "line 2 (`allow = [`): `fd00::1` looks like IPv6",
        ),
        (
            "[egress]\ndeny-cidrs = [\"10.0.0.1/8\"]",
            "line 2 (`deny-cidrs = [\"10.0.0.1/8\"]`): `10.0.0.1/8` has bits set",
        ),
        ("[cache\n", "line 1 (`[cache`): "),
        (
            "[observe]\ntraces = \"https://10.0.0.7:4317\"",
            "line 2 (`traces = \"https://10.0.0.7:4317\"`): it is no address of a collector; write one such as",
        ),
        (
            "[observe]\ntraces = \"http://collector:4317\"",
            "line 2 (`traces = \"http://collector:4317\"`): it is no address of a collector",
        ),
        (
            "[observe]\nlog = \"xml\"",
            "line 2 (`log = \"xml\"`): unknown variant `xml`, expected `logfmt` or `json`",
        ),
    ] {
        let sentence = refused(text);
        assert!(sentence.starts_with(expected), "{sentence}");
        assert!(!sentence.contains('\n'), "{sentence}");
    }
}

#[test]
fn sizes_print_as_they_parse() {
    for (bytes, text) in [(1, "1"), (1024, "1KiB"), (1536, "1536"), (64 << 20, "64MiB"), (3 << 30, "3GiB")] {
        assert_eq!(ByteSize(bytes).to_string(), text);
        let policy = Policy::parse(&format!("[limits]\nmemory = \"{text}\"")).unwrap();
        assert_eq!(policy.limits.memory, Some(ByteSize(bytes)));
    }
}

#[test]
fn a_mistake_with_control_characters_is_told_in_one_line_without_them() {
    let error = Policy::parse("native = \"al\\u001b[2J\\now\"").unwrap_err().to_string();
    assert!(!error.chars().any(char::is_control), "{error:?}");
    assert!(error.contains("unknown variant"), "{error}");
}
