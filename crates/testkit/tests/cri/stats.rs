//! Stats, as kubelet and `kubectl top` ask for them.

use anyhow::Context;
use testkit::cri::ContainerStats;
use testkit::{Node, eventually};

const MIB: u64 = 1 << 20;

fn memory(stats: &ContainerStats) -> u64 {
    stats.memory.and_then(|memory| memory.working_set_bytes).unwrap_or_default().value
}

/// Nanoseconds.
fn cpu(stats: &ContainerStats) -> u64 {
    stats.cpu.and_then(|cpu| cpu.usage_core_nano_seconds).unwrap_or_default().value
}

fn of<'a>(list: &'a [ContainerStats], id: &str) -> Option<&'a ContainerStats> {
    list.iter().find(|stats| stats.attributes.as_ref().is_some_and(|attributes| attributes.id == id))
}

fn ids(node: &Node, pod: Option<&str>) -> anyhow::Result<Vec<String>> {
    let mut ids: Vec<_> =
        node.stats(pod)?.into_iter().filter_map(|stats| stats.attributes).map(|id| id.id).collect();
    ids.sort();
    Ok(ids)
}

testkit::pod_stories! {
    fn stats_are_each_containers_own_in_the_list_and_alone(node) {
        let (pod, other) = (node.pod("busy").run()?, node.pod("other").run()?);
        let spin = pod.guest("spin", "spin.wasm")?.start()?;
        let hog = pod.guest("hog", "memory-hog.wasm")?.args(["48", "3600"]).start()?;
        let idle = other.guest("idle", "sleep.wasm")?.start()?;
        hog.says("done")?;
        spin.says("spinning")?;
        idle.says("sleeping")?;
        eventually("the busy one has used a second of processor time", 60, || Ok(cpu(&spin.stats()?) > 1_000_000_000))?;
        let list = node.stats(None)?;
        for single in [spin.stats()?, hog.stats()?, idle.stats()?] {
            let id = single.attributes.clone().unwrap_or_default().id;
            let listed = of(&list, &id).with_context(|| format!("{id} is not in {list:?}"))?;
            assert!(cpu(listed) > 0 && cpu(listed) <= cpu(&single), "{listed:?} {single:?}");
            assert!(memory(listed) > 0 && memory(listed).abs_diff(memory(&single)) < 8 * MIB, "{listed:?} {single:?}");
        }
        assert!(memory(&hog.stats()?) > 48 * MIB && memory(&idle.stats()?) < 32 * MIB, "{list:?}");
        assert!(cpu(&idle.stats()?) < cpu(&spin.stats()?), "{list:?}");

        let mut expected = vec![spin.id().to_owned(), hog.id().to_owned()];
        expected.sort();
        assert_eq!(ids(node, Some(pod.id()))?, expected);
        expected.push(idle.id().to_owned());
        expected.sort();
        assert_eq!(ids(node, None)?, expected, "sandboxes are no containers");
        pod.remove()?;
        assert_eq!(ids(node, None)?, [idle.id()], "who is gone has no stats");
        other.remove()?;
    }
}
