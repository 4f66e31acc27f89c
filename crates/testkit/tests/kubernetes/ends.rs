//! How pods end, and what becomes of them then.

use anyhow::{Result, bail};
use serde_json::json;
use testkit::cluster::{Namespace, container_status, guest_container, terminated, text, with};

use crate::table::{Feature, feature};

pub const FEATURES: &[Feature] = &[
    feature("restart policy, back-off (CrashLoopBackOff)", restarts),
    feature("exit codes, phases", exit_codes),
    feature("a trap: termination message, kubectl describe", traps),
    feature("OOMKilled", out_of_memory),
    feature("activeDeadlineSeconds", deadline),
];

fn exit_codes(here: &Namespace<'_>) -> Result<()> {
    here.pod("hello", json!({"containers": [guest_container("guest", "hello", &[])]}))?;
    here.pod("seven", json!({"containers": [guest_container("guest", "exit", &["7"])]}))?;
    assert_eq!(here.output("hello")?, "hello from run-wasm\n");
    let seven = here.ended("seven")?;
    assert_eq!(text(&seven, "/status/phase")?, "Failed");
    assert_eq!(terminated(&seven, "guest").map(|end| &end["exitCode"]), Some(&json!(7)));
    Ok(())
}

fn traps(here: &Namespace<'_>) -> Result<()> {
    here.pod("trap", json!({"containers": [guest_container("guest", "trap", &[])]}))?;
    let trap = here.ended("trap")?;
    assert_eq!(terminated(&trap, "guest").map(|end| &end["exitCode"]), Some(&json!(134)));
    let described = here.kubectl(&["describe", "pod", "trap"])?.success()?;
    for word in ["unreachable", "inner", "Exit Code:    134"] {
        assert!(described.contains(word), "no {word}: {described}");
    }
    Ok(())
}

fn out_of_memory(here: &Namespace<'_>) -> Result<()> {
    let hog = with(
        guest_container("guest", "memory-hog", &["256", "60"]),
        json!({"resources": {"limits": {"memory": "64Mi"}}}),
    );
    // containerd handles what it hears of the memory and of the end beside each other, and kubelet keeps what it saw first.
    for name in ["hog", "other-hog"] {
        here.pod(name, json!({"containers": [hog.clone()]}))?;
        let ended = here.ended(name)?;
        let end = terminated(&ended, "guest").cloned().unwrap_or_default();
        assert_eq!(end["exitCode"], 137, "{ended}");
        if end["reason"] == "OOMKilled" {
            let described = here.kubectl(&["describe", "pod", name])?.success()?;
            assert!(described.contains("OOMKilled"), "{described}");
            return Ok(());
        }
    }
    bail!("kubelet does not say twice that the memory was exhausted")
}

fn restarts(here: &Namespace<'_>) -> Result<()> {
    let pod = |guest: &str, args: &[&str], policy: &str| json!({"restartPolicy": policy, "containers": [guest_container("guest", guest, args)]});
    here.pod("always", pod("hello", &[], "Always"))?;
    here.pod("failing", pod("exit", &["3"], "OnFailure"))?;
    here.pod("done", pod("hello", &[], "OnFailure"))?;
    for (name, code) in [("always", 0), ("failing", 3)] {
        let again = here.restarted(name, "guest", 1)?;
        let last = container_status(&again, "guest")
            .and_then(|status| status.pointer("/lastState/terminated/exitCode"));
        assert_eq!(last, Some(&json!(code)), "{again}");
        here.pod_when(name, "backs off", |pod| {
            let waiting =
                container_status(pod, "guest").and_then(|status| status.pointer("/state/waiting/reason"));
            waiting == Some(&json!("CrashLoopBackOff"))
        })?;
    }
    here.output("done")?;
    let count = container_status(&here.look("done")?, "guest").map(|status| status["restartCount"].clone());
    assert_eq!(count, Some(json!(0)));
    Ok(())
}

fn deadline(here: &Namespace<'_>) -> Result<()> {
    here.pod(
        "late",
        json!({"activeDeadlineSeconds": 2, "containers": [guest_container("guest", "sleep", &[])]}),
    )?;
    let late = here.ended("late")?;
    assert_eq!(text(&late, "/status/reason")?, "DeadlineExceeded");
    Ok(())
}
