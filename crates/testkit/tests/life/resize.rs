//! Resources that change while a container runs, as an in-place resize of a pod asks for it.

use std::time::{Duration, Instant};

use testkit::cri::{ContainerStats, LinuxContainerResources};
use testkit::{PodContainer, refusal};

const MIB: i64 = 1 << 20;

fn memory(limit: i64) -> LinuxContainerResources {
    LinuxContainerResources {
        cpu_shares: 2,
        memory_limit_in_bytes: limit,
        ..LinuxContainerResources::default()
    }
}

fn cpu(quota: i64) -> LinuxContainerResources {
    LinuxContainerResources {
        cpu_period: 100_000,
        cpu_quota: quota,
        cpu_shares: 2,
        ..LinuxContainerResources::default()
    }
}

/// The part of one processor that a container uses, watched for a while.
fn share(container: &PodContainer<'_>) -> anyhow::Result<f64> {
    let used = |stats: ContainerStats| {
        stats.cpu.and_then(|cpu| cpu.usage_core_nano_seconds).unwrap_or_default().value
    };
    let (before, begin) = (used(container.stats()?), Instant::now());
    std::thread::sleep(Duration::from_secs(2));
    let after = used(container.stats()?);
    Ok(Duration::from_nanos(after - before).as_secs_f64() / begin.elapsed().as_secs_f64())
}

testkit::pod_stories! {
    fn a_memory_limit_is_raised_and_lowered_in_place(node) {
        let pod = node.pod("resized").run()?;
        let hog = pod.guest("hog", "memory-hog.wasm")?.args(["32", "3600"]).memory(96 * MIB).start()?;
        hog.says("done")?;
        let more = || hog.exec(&["hog", "128"], 120);
        let refused = more()?;
        assert!(refused.code == 137 && refused.stderr.contains("memory limit of 96"), "{refused}");
        hog.update(memory(256 * MIB))?;
        assert_eq!(more()?.code, 0);
        hog.update(memory(96 * MIB))?;
        assert_eq!(more()?.code, 137);
        let too_low = refusal(hog.update(memory(16 * MIB)))?;
        assert!(too_low.contains("16.0 MiB") && too_low.contains("uses"), "{too_low}");
        assert_eq!(hog.exec(&["hog", "16"], 120)?.code, 0, "what was refused has changed nothing");
        pod.remove()?;
    }

    fn a_guest_grows_into_a_limit_that_was_raised(node) {
        let pod = node.pod("grown").run()?;
        let hog = pod.guest("hog", "memory-hog.wasm")?.args(["16", "5", "112"]).memory(64 * MIB).start()?;
        hog.says("done")?;
        hog.update(memory(256 * MIB))?;
        assert_eq!(hog.end()?.exit_code, 0);
        pod.remove()?;
    }

    fn a_cpu_quota_is_raised_and_lowered_in_place(node) {
        let pod = node.pod("paced").run()?;
        let spin = pod.guest("spin", "spin.wasm")?.cpu(10_000, 2).start()?;
        spin.says("spinning")?;
        let slow = share(&spin)?;
        assert!(slow < 0.3, "{slow} of a processor at a quota of 0.1");
        spin.update(cpu(60_000))?;
        let fast = share(&spin)?;
        assert!(fast > slow * 2.0 && fast < 0.85, "{fast} of a processor at a quota of 0.6, {slow} before");
        spin.update(cpu(10_000))?;
        let again = share(&spin)?;
        assert!(again < 0.3, "{again} of a processor at a quota of 0.1 again");
        pod.remove()?;
    }
}
