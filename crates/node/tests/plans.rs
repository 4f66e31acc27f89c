//! What the planner decides, for each distribution and release of containerd. `golden/*.plan` shows it; to write these files
//! anew run the tests with `UPDATE_GOLDEN=1`, and read the difference.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use node::distro::Distro;
use node::model::{Found, Plan, Record, Refusal, Release, State, Wanted};
use node::{paths, plan, show};
use semver::Version;

/// A node on which nothing but these files was found, and whose containerd knows runc alone.
fn node(distro: Distro, containerd: &str, files: &[(&str, &str)]) -> Found {
    let files: BTreeMap<PathBuf, State> =
        files.iter().map(|(path, text)| (path.into(), State::File((*text).to_owned()))).collect();
    Found {
        distro,
        containerd: Version::parse(containerd).unwrap(),
        config: distro.config(),
        files,
        handlers: Some(vec!["runc".into()]),
        record: None,
    }
}

fn wanted(name: &str) -> Wanted {
    Wanted { release: Release { name: name.into(), digests: BTreeMap::new() }, config: None }
}

fn install(found: &Found) -> Plan {
    plan::install(found, &wanted("1.0.0-0123456789ab")).unwrap()
}

fn refusal(found: &Found) -> String {
    let Refusal(why) = plan::install(found, &wanted("1.0.0-0123456789ab")).unwrap_err();
    why
}

/// The node after the plan.
fn carried_out(mut found: Found, plan: &Plan) -> Found {
    for change in &plan.changes {
        assert_eq!(*found.state(&change.path), change.before, "{}", change.path.display());
        found.files.insert(change.path.clone(), change.after.clone());
    }
    let known: Vec<String> =
        plan.handlers.iter().filter(|(_, is)| **is).map(|(handler, _)| handler.clone()).collect();
    found.handlers = Some([vec!["runc".to_owned()], known].concat());
    found.record = match found.state(paths::RECORD) {
        State::File(text) => Some(serde_json::from_str::<Record>(text).unwrap()),
        _ => None,
    };
    found
}

/// Compares with the golden file, and proves what holds for every node: a second time changes nothing, and the way back
/// leads to where it began, byte by byte.
fn golden(name: &str, found: Found) {
    let plan = install(&found);
    let shown = show::plan(&plan);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.plan"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &shown).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(shown, golden, "{name}: UPDATE_GOLDEN=1 writes it anew");

    let before = found.files.clone();
    let installed = carried_out(found, &plan);
    assert!(install(&installed).is_empty(), "{}", show::plan(&install(&installed)));
    let bare = carried_out(installed.clone(), &plan::uninstall(&installed, false));
    let left: BTreeMap<PathBuf, State> =
        bare.files.into_iter().filter(|(_, state)| *state != State::Absent).collect();
    assert_eq!(left, before);
}

const KUBEADM_1_7: &str = r#"# The cluster's admins keep this file.
version = 2
root = "/var/lib/containerd"

[plugins]
  [plugins."io.containerd.grpc.v1.cri"]
    sandbox_image = "registry.example/pause:3.9" # mirrored
    [plugins."io.containerd.grpc.v1.cri".containerd]
      default_runtime_name = "runc"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
        runtime_type = "io.containerd.runc.v2"
        [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
          SystemdCgroup = true

[debug]
  level = "info"
"#;

const KUBEADM_2: &str = r"# The cluster's admins keep this file.
version = 3

[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = 'registry.example/pause:3.10'

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = 'io.containerd.runc.v2'
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
    SystemdCgroup = true
";

const CONFIG: &str = "/etc/containerd/config.toml";

#[test]
fn containerd_1_7_with_a_config_of_version_2() {
    golden("plain-1.7-v2", node(Distro::Plain, "1.7.24", &[(CONFIG, KUBEADM_1_7)]));
}

#[test]
fn containerd_1_7_without_a_config() {
    golden("plain-1.7-none", node(Distro::Plain, "1.7.24", &[]));
}

#[test]
fn containerd_1_7_with_another_runtime_in_dotted_and_inline_tables() {
    let config = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd]\nruntimes.runc = { runtime_type = \"io.containerd.runc.v2\" } # one line\n";
    golden("plain-1.7-inline", node(Distro::Plain, "1.7.24", &[(CONFIG, config)]));
}

#[test]
fn containerd_2_0_with_a_config_of_version_2_that_came_from_1_7() {
    golden("plain-2.0-v2", node(Distro::Plain, "2.0.5", &[(CONFIG, KUBEADM_1_7)]));
}

#[test]
fn containerd_2_1_with_a_config_of_version_3() {
    golden("plain-2.1-v3", node(Distro::Plain, "2.1.9", &[(CONFIG, KUBEADM_2)]));
}

#[test]
fn containerd_2_1_without_a_config() {
    golden("plain-2.1-none", node(Distro::Plain, "2.1.9", &[]));
}

#[test]
fn containerd_2_1_that_imports_other_files() {
    let config = "version = 3\nimports = [\n  \"/etc/containerd/certs.toml\",\n  \"/etc/containerd/gpu.toml\", # theirs\n]\n";
    golden("plain-2.1-v3-imports", node(Distro::Plain, "2.1.9", &[(CONFIG, config)]));
}

#[test]
fn containerd_2_2_that_imports_its_drop_ins() {
    let config = "version = 3\nimports = ['/etc/containerd/conf.d/*.toml']\n";
    golden("plain-2.2-v3-conf.d", node(Distro::Plain, "2.2.7", &[(CONFIG, config)]));
}

#[test]
fn containerd_2_3_with_a_config_of_version_4() {
    let config = "version = 4\nimports = ['/etc/containerd/conf.d/*.toml']\n";
    golden("plain-2.3-v4", node(Distro::Plain, "2.3.4", &[(CONFIG, config)]));
}

#[test]
fn containerd_1_7_keeps_its_own_runtime_as_long_as_ours_are_there() {
    let bare = "version = 2\n\n[debug]\n  level = \"info\"\n";
    let found = node(Distro::Plain, "1.7.24", &[(CONFIG, bare)]);
    let installed = carried_out(found.clone(), &install(&found));
    let text = installed.state(CONFIG).text().unwrap();
    assert!(
        text.contains(".containerd.runtimes.runc]\nruntime_type = \"io.containerd.runc.v2\"\n"),
        "{text}"
    );
    assert!(install(&installed).is_empty());

    // Also where somebody has edited the file since, and what was there before is not known by the record alone.
    let later = "\n[metrics]\n  address = \"127.0.0.1:1338\" # later\n";
    let mut edited = installed.clone();
    edited.files.insert(CONFIG.into(), State::File(format!("{text}{later}")));
    let gone = carried_out(edited.clone(), &plan::uninstall(&edited, false));
    assert_eq!(gone.state(CONFIG).text().unwrap(), format!("{bare}{later}"));

    // What somebody has made their own stays.
    let theirs = text.replace(
        "runtime_type = \"io.containerd.runc.v2\"\n",
        "runtime_type = \"io.containerd.runc.v2\"\nsnapshotter = \"zfs\"\n",
    );
    assert_ne!(theirs, text);
    let mut edited = installed.clone();
    edited.files.insert(CONFIG.into(), State::File(theirs));
    let gone = carried_out(edited.clone(), &plan::uninstall(&edited, false));
    let text = gone.state(CONFIG).text().unwrap();
    assert!(text.contains("snapshotter = \"zfs\"") && !text.contains("runtimes.run]"), "{text}");
}

#[test]
fn containerd_1_7_with_another_default_runtime_gets_no_runc() {
    let table = "[plugins.\"io.containerd.grpc.v1.cri\".containerd]\n  default_runtime_name = \"crun\"\n";
    let config = format!("version = 2\n{table}");
    let found = node(Distro::Plain, "1.7.24", &[(CONFIG, &config)]);
    let installed = carried_out(found.clone(), &install(&found));
    assert!(!installed.state(CONFIG).text().unwrap().contains("runc"));
}

#[test]
fn our_drop_in_is_made_anew_whatever_has_become_of_it() {
    let path = "/etc/containerd/conf.d/run-wasm.toml";
    let config = "version = 3\nimports = ['/etc/containerd/conf.d/*.toml']\n";
    let found = node(Distro::Plain, "2.2.7", &[(CONFIG, config)]);
    let whole = carried_out(found.clone(), &install(&found)).state(path).clone();
    for broken in [
        "version = 3\n[plugins\n",
        "version = 3\n[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.run]\nruntime_type = 'io.containerd.other.v1'\n",
    ] {
        let found = node(Distro::Plain, "2.2.7", &[(CONFIG, config), (path, broken)]);
        assert_eq!(*carried_out(found.clone(), &install(&found)).state(path), whole, "{broken}");
    }
}

#[test]
fn an_import_of_our_drop_in_goes_in_both_spellings() {
    for name in ["run-wasm.toml", "*run-wasm.toml"] {
        let config = format!("version = 3\nimports = [\"/etc/containerd/conf.d/{name}\"]\n");
        let found = node(Distro::Plain, "2.1.9", &[(CONFIG, &config)]);
        let installed = carried_out(found.clone(), &install(&found));
        assert_eq!(installed.state(CONFIG), found.state(CONFIG), "it reaches the file already");
        let gone = carried_out(installed.clone(), &plan::uninstall(&installed, false));
        assert_eq!(gone.state(CONFIG), &State::File("version = 3\n".into()));
    }
}

const KIND: &str = r#"version = 3

[proxy_plugins."fuse-overlayfs"]
  type = "snapshot"
  address = "/run/containerd-fuse-overlayfs.sock"

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.test-handler]
  runtime_type = "io.containerd.runc.v2"
"#;

#[test]
fn kind() {
    golden("kind-2.1-v3", node(Distro::Kind, "2.1.9", &[(CONFIG, KIND)]));
}

#[test]
fn kind_with_containerd_1_7() {
    golden("kind-1.7-v2", node(Distro::Kind, "1.7.24", &[(CONFIG, KUBEADM_1_7)]));
}

/// What k3s and RKE2 render, shortened.
fn rendered(distro: &str, version: u8, imports: bool) -> String {
    let folder = format!("/var/lib/rancher/{distro}/agent/etc/containerd");
    let imports =
        if imports { format!("imports = [\"{folder}/config-v3.toml.d/*.toml\"]\n") } else { String::new() };
    let plugin = plan::runtimes::plugin(version.into());
    format!(
        "# File generated by {distro}. DO NOT EDIT. Use config.toml.tmpl instead.\nversion = {version}\n{imports}\n[plugins.'{plugin}'.containerd.runtimes.runc]\n  runtime_type = \"io.containerd.runc.v2\"\n"
    )
}

const K3S: &str = "/var/lib/rancher/k3s/agent/etc/containerd/config.toml";
const RKE2: &str = "/var/lib/rancher/rke2/agent/etc/containerd/config.toml";

#[test]
fn k3s_with_containerd_2_imports_drop_ins() {
    golden("k3s-2.1-v3-imports", node(Distro::K3s, "2.1.5", &[(K3S, &rendered("k3s", 3, true))]));
}

#[test]
fn k3s_with_containerd_2_0_has_a_template() {
    golden("k3s-2.0-v3", node(Distro::K3s, "2.0.4", &[(K3S, &rendered("k3s", 3, false))]));
}

#[test]
fn k3s_with_containerd_1_7_has_a_template_of_the_older_name() {
    golden("k3s-1.7-v2", node(Distro::K3s, "1.7.23", &[(K3S, &rendered("k3s", 2, false))]));
}

#[test]
fn k3s_with_a_template_of_the_admins() {
    let template = "{{ template \"base\" . }}\n\n[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.'custom']\n  runtime_type = \"io.containerd.runc.v2\"\n";
    let path = K3S.replace("config.toml", "config-v3.toml.tmpl");
    golden(
        "k3s-2.0-v3-template",
        node(Distro::K3s, "2.0.4", &[(K3S, &rendered("k3s", 3, false)), (&path, template)]),
    );
}

#[test]
fn rke2_with_containerd_2_imports_drop_ins() {
    golden("rke2-2.1-v3-imports", node(Distro::Rke2, "2.1.5", &[(RKE2, &rendered("rke2", 3, true))]));
}

#[test]
fn rke2_with_containerd_1_7() {
    golden("rke2-1.7-v2", node(Distro::Rke2, "1.7.23", &[(RKE2, &rendered("rke2", 2, false))]));
}

const K0S: &str = "/etc/k0s/containerd.toml";

#[test]
fn k0s_with_containerd_1_7() {
    let config = "# k0s_managed=true\nversion = 2\nimports = [\"/run/k0s/containerd-cri.toml\"]\n";
    golden("k0s-1.7-v2", node(Distro::K0s, "1.7.26", &[(K0S, config)]));
}

#[test]
fn k0s_with_containerd_2() {
    let config = "# k0s_managed=true\nversion = 3\nimports = [\"/run/k0s/containerd-cri.toml\"]\n";
    golden("k0s-2.1-v3", node(Distro::K0s, "2.1.5", &[(K0S, config)]));
}

#[test]
fn k0s_whose_config_is_the_admins() {
    golden("k0s-2.1-own", node(Distro::K0s, "2.1.5", &[(K0S, KUBEADM_2)]));
}

const MICROK8S: &str = r#"# Use config version 2 to enable new configuration fields.
version = 2
oom_score = 0

[plugins."io.containerd.grpc.v1.cri"]
  stream_server_address = "127.0.0.1"

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "${SNAPSHOTTER}"
    default_runtime_name = "${RUNTIME}"

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${SNAP_DATA}/opt/cni/bin"
"#;

const MICROK8S_TEMPLATE: &str = "/var/snap/microk8s/current/args/containerd-template.toml";

#[test]
fn microk8s() {
    golden("microk8s-1.7-v2", node(Distro::Microk8s, "1.7.27", &[(MICROK8S_TEMPLATE, MICROK8S)]));
}

#[test]
fn microk8s_with_containerd_2_reads_the_same_template() {
    golden("microk8s-2.1-v2", node(Distro::Microk8s, "2.1.5", &[(MICROK8S_TEMPLATE, MICROK8S)]));
}

#[test]
fn a_node_config_holds_for_both_handlers() {
    let mut found = node(Distro::Plain, "2.1.9", &[(CONFIG, KUBEADM_2)]);
    found.files.insert(paths::NODE_CONFIG.into(), State::File("[limits]\nmemory = \"1GiB\"\n".into()));
    let plan = install(&found);
    let shared = plan.changes.iter().find(|change| change.path == Path::new(paths::SHARED_CONFIG)).unwrap();
    let text = shared.after.text().unwrap();
    assert!(
        text.contains("memory = \"1GiB\"") && text.contains("modes = [\"shared\", \"normal\"]"),
        "{text}"
    );
}

#[test]
fn a_node_without_shared_mode_has_one_handler() {
    let mut found = node(Distro::Plain, "2.1.9", &[(CONFIG, KUBEADM_2)]);
    found.files.insert(paths::NODE_CONFIG.into(), State::File("modes = [\"normal\"]\n".into()));
    golden("plain-2.1-v3-normal-only", found);
}

#[test]
fn a_handler_of_another_runtime_is_refused_with_its_line() {
    for (containerd, plugin) in
        [("1.7.24", "io.containerd.grpc.v1.cri"), ("2.1.9", "io.containerd.cri.v1.runtime")]
    {
        let version = if plugin.contains("grpc") { 2 } else { 3 };
        let config = format!(
            "version = {version}\n\n[plugins.\"{plugin}\".containerd.runtimes.run]\n  runtime_type = \"io.containerd.other.v1\"\n"
        );
        let why = refusal(&node(Distro::Plain, containerd, &[(CONFIG, &config)]));
        assert!(why.contains("/etc/containerd/config.toml, line 3: there is a handler `run` of another runtime (io.containerd.other.v1)"), "{why}");
    }
}

#[test]
fn a_foreign_handler_in_an_imported_file_is_refused() {
    let config = "version = 3\nimports = [\"/etc/containerd/conf.d/*.toml\"]\n";
    let theirs = "version = 3\n[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.run-shared]\nruntime_type = 'io.containerd.other.v1'\n";
    let why = refusal(&node(
        Distro::Plain,
        "2.2.0",
        &[(CONFIG, config), ("/etc/containerd/conf.d/a.toml", theirs)],
    ));
    assert!(
        why.starts_with("/etc/containerd/conf.d/a.toml, line 2: there is a handler `run-shared`"),
        "{why}"
    );
}

#[test]
fn broken_toml_is_refused_with_its_line() {
    let why = refusal(&node(Distro::Plain, "2.1.9", &[(CONFIG, "version = 3\n\n[plugins\n")]));
    assert!(why.starts_with("/etc/containerd/config.toml, line 3: "), "{why}");
    assert!(!why.contains('\n'), "{why}");
}

#[test]
fn a_table_that_is_there_twice_is_refused() {
    let config = "version = 2\n[debug]\nlevel = \"info\"\n[debug]\nlevel = \"warn\"\n";
    let why = refusal(&node(Distro::Plain, "1.7.24", &[(CONFIG, config)]));
    assert!(why.starts_with("/etc/containerd/config.toml, line 4: "), "{why}");
}

#[test]
fn configs_that_no_kubelet_can_use_are_refused() {
    for (config, says) in [
        ("disabled_plugins = [\"cri\"]\n", "has no `version`"),
        ("version = 1\n", "is a config of version 1"),
        ("version = 9\n", "is a config of version 9"),
        (
            "version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n",
            "disables the plugin io.containerd.grpc.v1.cri",
        ),
        ("version = 2\nplugins = 7\n", "`plugins` is no table"),
        ("version = 3\nimports = 7\n", "`imports` is no array"),
    ] {
        let containerd = if config.contains("imports") { "2.1.9" } else { "1.7.24" };
        let why = refusal(&node(Distro::Plain, containerd, &[(CONFIG, config)]));
        assert!(why.contains(says), "{why}");
    }
}

#[test]
fn old_releases_of_containerd_are_refused() {
    for old in ["1.6.36", "3.0.0"] {
        let why = refusal(&node(Distro::Plain, old, &[(CONFIG, KUBEADM_1_7)]));
        assert!(why.contains(old), "{why}");
    }
}

#[test]
fn a_distribution_that_never_started_is_refused() {
    for distro in [Distro::K3s, Distro::Rke2, Distro::K0s, Distro::Microk8s] {
        let why = refusal(&node(distro, "2.1.5", &[]));
        assert!(why.contains(&format!("start {distro} once")), "{why}");
    }
}

#[test]
fn a_link_in_place_of_the_config_is_refused() {
    let mut found = node(Distro::Plain, "2.1.9", &[]);
    found.files.insert(CONFIG.into(), State::Link("/nix/store/config.toml".into()));
    assert!(refusal(&found).contains("is a symbolic link to /nix/store/config.toml"));
}

#[test]
fn tables_that_an_admin_has_written_by_hand_are_taken_over_where_they_are() {
    let by_hand = "version = 3\n[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.run]\n  # as the README says\n  runtime_type = \"io.containerd.run.v2\"\n  pod_annotations = [\"run.wasm/*\"]\n  snapshotter = \"overlayfs\"\n";
    let found = node(Distro::Plain, "2.1.9", &[(CONFIG, by_hand)]);
    let plan = install(&found);
    let installed = carried_out(found, &plan);
    let text = installed.state(CONFIG).text().unwrap();
    assert!(text.contains("# as the README says") && text.contains("snapshotter = \"overlayfs\""), "{text}");
    assert!(text.contains("runtime_path = \"/opt/run-wasm/current/containerd-shim-run-v2\""), "{text}");
    assert!(install(&installed).is_empty());
}

#[test]
fn a_new_release_changes_the_link_and_restarts_nothing() {
    let found = node(Distro::Plain, "2.1.9", &[(CONFIG, KUBEADM_2)]);
    let plan = install(&found);
    let installed = carried_out(found, &plan);
    let upgrade = plan::install(&installed, &wanted("1.1.0-ba9876543210")).unwrap();
    let paths: Vec<&Path> = upgrade.changes.iter().map(|change| change.path.as_path()).collect();
    assert_eq!(paths, [Path::new(paths::CURRENT), Path::new(paths::RECORD)]);
    assert!(!upgrade.restart);
}

#[test]
fn an_older_release_that_wrote_less_is_upgraded() {
    let older = "version = 3\n\n[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.run]\n  runtime_type = \"io.containerd.run.v2\"\n";
    let config = "version = 3\nimports = ['/etc/containerd/conf.d/*.toml']\n";
    let found =
        node(Distro::Plain, "2.2.0", &[(CONFIG, config), ("/etc/containerd/conf.d/run-wasm.toml", older)]);
    golden_upgrade("plain-2.2-upgrade", &found);
}

fn golden_upgrade(name: &str, found: &Found) {
    let shown = show::plan(&install(found));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.plan"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &shown).unwrap();
    }
    assert_eq!(shown, fs::read_to_string(&path).unwrap());
}

#[test]
fn what_others_wrote_after_us_stays_when_we_go() {
    for (containerd, config) in [("1.7.24", KUBEADM_1_7), ("2.1.9", KUBEADM_2)] {
        let found = node(Distro::Plain, containerd, &[(CONFIG, config)]);
        let mut installed = carried_out(found.clone(), &install(&found));
        let edited = format!(
            "{}\n[metrics]\n  address = \"127.0.0.1:1338\" # later\n",
            installed.state(CONFIG).text().unwrap()
        );
        installed.files.insert(CONFIG.into(), State::File(edited));
        let bare = carried_out(installed.clone(), &plan::uninstall(&installed, false));
        let text = bare.state(CONFIG).text().unwrap();
        assert_eq!(text, format!("{config}\n[metrics]\n  address = \"127.0.0.1:1338\" # later\n"));
    }
}

#[test]
fn a_config_that_was_reverted_under_us_is_put_back() {
    for (containerd, config) in [("1.7.24", KUBEADM_1_7), ("2.1.9", KUBEADM_2)] {
        let found = node(Distro::Plain, containerd, &[(CONFIG, config)]);
        let mut installed = carried_out(found.clone(), &install(&found));
        let ours = installed.state(CONFIG).clone();
        installed.files.insert(CONFIG.into(), State::File(config.into()));
        let repair = install(&installed);
        assert!(repair.restart);
        assert_eq!(*carried_out(installed, &repair).state(CONFIG), ours);
    }
}

#[test]
fn a_containerd_that_has_not_read_its_config_is_restarted() {
    let found = node(Distro::Plain, "2.1.9", &[(CONFIG, KUBEADM_2)]);
    let mut installed = carried_out(found.clone(), &install(&found));
    installed.handlers = Some(vec!["runc".into()]);
    let plan = install(&installed);
    assert!(plan.changes.is_empty() && plan.restart);
}

#[test]
fn programs_that_pods_need_stay() {
    let found = node(Distro::Plain, "2.1.9", &[(CONFIG, KUBEADM_2)]);
    let installed = carried_out(found.clone(), &install(&found));
    let bare = carried_out(installed.clone(), &plan::uninstall(&installed, true));
    assert!(matches!(bare.state(paths::CURRENT), State::Link(_)));
    assert_eq!(bare.state(CONFIG), found.state(CONFIG));
}
