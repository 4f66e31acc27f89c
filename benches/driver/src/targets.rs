//! What the project promises of its metrics.

/// The side of a bound on which a metric has to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    AtMost(f64),
    AtLeast(f64),
}

use Target::{AtLeast, AtMost};

const TARGETS: [(&str, Target); 36] = [
    ("startup.ctr.normal_vs_runc", AtMost(0.52)),
    ("startup.ctr.normal_vs_runwasi", AtMost(0.68)),
    ("startup.ctr.large_normal_vs_hello_normal", AtMost(1.15)),
    ("startup.ctr.shared_vs_runc", AtMost(0.46)),
    ("startup.task.normal_vs_runwasi", AtMost(0.20)),
    ("startup.task.shared_vs_runwasi", AtMost(0.05)),
    ("startup.cold.large_normal_vs_runwasi", AtMost(1.10)),
    ("memory.normal_vs_runc", AtMost(0.45)),
    ("memory.normal_vs_runwasi", AtMost(0.45)),
    ("memory.large_normal_vs_runwasi", AtMost(0.15)),
    ("limits.cpu_quota_error", AtMost(0.10)),
    ("limits.weight_error", AtMost(0.15)),
    ("limits.memory_overshoot", AtMost(0.05)),
    ("density.shared_kib_per_container", AtMost(250.0)),
    ("density.shared_n", AtLeast(1000.0)),
    ("density.large_shared_kib_per_container", AtMost(4096.0)),
    ("density.large_shared_n", AtLeast(1000.0)),
    ("density.direct_n", AtLeast(10_000.0)),
    ("lifecycle.shared_vs_runc", AtLeast(20.0)),
    ("lifecycle.shared_vs_runwasi", AtLeast(20.0)),
    ("lifecycle.ctr8_shared_vs_runc", AtMost(0.45)),
    ("soak.pss_growth", AtMost(0.02)),
    ("soak.fds_growth", AtMost(0.0)),
    ("soak.maps_growth", AtMost(0.0)),
    ("soak.threads_growth", AtMost(0.0)),
    ("compute.normal_vs_wasmtime_cli", AtLeast(0.97)),
    ("http.normal_vs_serve", AtLeast(0.95)),
    ("http.normal_vs_serve_geomean", AtLeast(1.0)),
    ("http.shared_vs_serve", AtLeast(0.90)),
    ("http.normal_vs_runwasi", AtLeast(1.0)),
    ("http.shared_1000_idle_p99_ratio", AtMost(1.2)),
    ("density.idle_http_kib_per_container", AtMost(80.0)),
    ("kubernetes.ready50_normal_vs_runc", AtMost(0.7)),
    ("kubernetes.ready50_shared_vs_runc", AtMost(0.5)),
    ("kubernetes.mem_normal_vs_runc", AtMost(0.6)),
    ("kubernetes.mem_shared_vs_runc", AtMost(0.4)),
];

/// What is promised of a metric, if anything is.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(of, _)| *of == name).map(|(_, target)| *target)
}
