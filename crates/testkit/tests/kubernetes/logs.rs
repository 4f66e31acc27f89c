//! `kubectl logs`, `exec`, `attach`.

use anyhow::Result;
use serde_json::json;
use testkit::cluster::{Namespace, guest_container};

use crate::table::{Feature, feature};

pub const FEATURES: &[Feature] = &[
    feature("logs --previous", previous),
    feature("logs -f, --tail, --since", logs),
    feature("exec, with stdin and exit code", exec),
];

fn logs(here: &Namespace<'_>) -> Result<()> {
    here.pod("ticker", json!({"containers": [guest_container("guest", "ticker", &[])]}))?;
    here.says("ticker", "guest", "tick 60\n")?;
    let tail = here.kubectl(&["logs", "ticker", "--tail=3"])?.success()?;
    assert!(tail.lines().count() == 3 && tail.lines().all(|line| line.starts_with("tick ")), "{tail}");
    let recent = here.kubectl(&["logs", "ticker", "--since=2s"])?.success()?;
    assert!(!recent.is_empty() && !recent.contains("tick 1\n"), "{recent}");
    // It would follow for ever.
    let wanted = here.log("ticker", "")?.lines().count() + 10;
    let follow = format!("timeout 60 kubectl --namespace {} logs -f ticker | head -n {wanted}", here.name());
    let followed = here.cluster().run(&["bash", "-c", &follow])?;
    assert_eq!(followed.stdout.lines().count(), wanted, "{followed}");
    let in_order = followed.stdout.lines().zip(1..).all(|(line, number)| line == format!("tick {number}"));
    assert!(in_order, "{}", followed.stdout);
    Ok(())
}

fn previous(here: &Namespace<'_>) -> Result<()> {
    let pod = json!({"restartPolicy": "Always", "containers": [guest_container("guest", "stderr", &[])]});
    here.pod("again", pod)?;
    here.restarted("again", "guest", 1)?;
    // Kubelet takes away the log of the one before when the next has ended: then there is another.
    here.eventually("the log of the one before is there", 60, || {
        let mut previous = here.kubectl(&["logs", "again", "--previous"])?.stdout;
        previous.retain(|char| char != '\n');
        Ok(previous == "this is stdoutthis is stderr" || previous == "this is stderrthis is stdout")
    })
}

fn exec(here: &Namespace<'_>) -> Result<()> {
    here.pod("sleep", json!({"containers": [guest_container("guest", "sleep", &[])]}))?;
    here.running("sleep")?;
    assert_eq!(here.kubectl(&["exec", "sleep", "--", "nap", "0"])?.success()?, "sleeping\nwoke\n");
    assert_eq!(here.kubectl(&["exec", "sleep", "--", "nap", "no number"])?.code, 134);
    let with_stdin = here.cluster().run(&[
        "bash",
        "-c",
        &format!("echo | kubectl --namespace {} exec --stdin sleep -- nap 0", here.name()),
    ])?;
    assert_eq!(with_stdin.success()?, "sleeping\nwoke\n");
    Ok(())
}
