//! `Stats`: what a container used, in the message type of the node's cgroup version.
//!
//! containerd looks at the type's name, and a wrong one fails the listing for the whole node.

use containerd_shim_protos::{cgroups::metrics as v1, cgroups_v2::metrics as v2};
use protobuf::well_known_types::any::Any;
use protobuf::{Message, MessageField};

use crate::cgroup::{Usage, Version};

const V1: &str = "io.containerd.cgroups.v1.Metrics";
const V2: &str = "io.containerd.cgroups.v2.Metrics";

/// The metrics of a container, or of a sandbox, which uses nothing.
pub fn metrics(version: Version, usage: &Usage) -> protobuf::Result<Any> {
    let (type_url, value) = match version {
        Version::V1 => (V1, metrics_v1(usage).write_to_bytes()?),
        Version::V2 => (V2, metrics_v2(usage).write_to_bytes()?),
    };
    Ok(Any { type_url: type_url.to_owned(), value, ..Any::default() })
}

fn metrics_v1(usage: &Usage) -> v1::Metrics {
    let memory = v1::MemoryStat {
        cache: usage.file,
        rss: usage.anon,
        mapped_file: usage.mapped_file,
        pg_fault: usage.page_faults,
        pg_maj_fault: usage.major_page_faults,
        active_anon: usage.active_anon,
        inactive_anon: usage.inactive_anon,
        active_file: usage.active_file,
        inactive_file: usage.inactive_file,
        hierarchical_memory_limit: usage.memory_limit,
        total_cache: usage.file,
        total_rss: usage.anon,
        total_mapped_file: usage.mapped_file,
        total_pg_fault: usage.page_faults,
        total_pg_maj_fault: usage.major_page_faults,
        total_active_anon: usage.active_anon,
        total_inactive_anon: usage.inactive_anon,
        total_active_file: usage.active_file,
        total_inactive_file: usage.inactive_file,
        usage: MessageField::some(v1::MemoryEntry {
            usage: usage.memory,
            limit: usage.memory_limit,
            max: usage.memory_peak,
            ..Default::default()
        }),
        kernel: MessageField::some(v1::MemoryEntry { usage: usage.kernel, ..Default::default() }),
        ..Default::default()
    };
    v1::Metrics {
        cpu: MessageField::some(v1::CPUStat {
            usage: MessageField::some(v1::CPUUsage {
                total: usage.cpu,
                kernel: usage.cpu_kernel,
                user: usage.cpu_user,
                ..Default::default()
            }),
            throttling: MessageField::some(v1::Throttle {
                periods: usage.periods,
                throttled_periods: usage.throttled_periods,
                throttled_time: usage.throttled,
                ..Default::default()
            }),
            ..Default::default()
        }),
        memory: MessageField::some(memory),
        pids: MessageField::some(v1::PidsStat {
            current: usage.pids,
            limit: limit(usage.pids_limit),
            ..Default::default()
        }),
        memory_oom_control: MessageField::some(v1::MemoryOomControl {
            oom_kill: usage.oom_kills,
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn metrics_v2(usage: &Usage) -> v2::Metrics {
    v2::Metrics {
        cpu: MessageField::some(v2::CPUStat {
            usage_usec: usage.cpu / 1000,
            user_usec: usage.cpu_user / 1000,
            system_usec: usage.cpu_kernel / 1000,
            nr_periods: usage.periods,
            nr_throttled: usage.throttled_periods,
            throttled_usec: usage.throttled / 1000,
            ..Default::default()
        }),
        memory: MessageField::some(v2::MemoryStat {
            usage: usage.memory,
            usage_limit: usage.memory_limit,
            max_usage: usage.memory_peak,
            anon: usage.anon,
            file: usage.file,
            file_mapped: usage.mapped_file,
            active_anon: usage.active_anon,
            inactive_anon: usage.inactive_anon,
            active_file: usage.active_file,
            inactive_file: usage.inactive_file,
            pgfault: usage.page_faults,
            pgmajfault: usage.major_page_faults,
            ..Default::default()
        }),
        pids: MessageField::some(v2::PidsStat {
            current: usage.pids,
            limit: limit(usage.pids_limit),
            ..Default::default()
        }),
        memory_events: MessageField::some(v2::MemoryEvents {
            oom_kill: usage.oom_kills,
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// In both types zero means none.
fn limit(pids: u64) -> u64 {
    if pids == u64::MAX { 0 } else { pids }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cgroup_version_has_its_own_type() {
        let usage = Usage { cpu: 5000, memory: 7, inactive_file: 2, ..Usage::default() };
        let first = metrics(Version::V1, &usage).unwrap();
        assert_eq!(first.type_url, V1);
        let parsed = v1::Metrics::parse_from_bytes(&first.value).unwrap();
        assert_eq!((parsed.cpu.usage.total, parsed.memory.usage.usage), (5000, 7));
        let second = metrics(Version::V2, &usage).unwrap();
        assert_eq!(second.type_url, V2);
        let parsed = v2::Metrics::parse_from_bytes(&second.value).unwrap();
        assert_eq!((parsed.cpu.usage_usec, parsed.memory.usage, parsed.memory.inactive_file), (5, 7, 2));
    }
}
