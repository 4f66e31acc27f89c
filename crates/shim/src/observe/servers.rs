//! Metrics of containers that serve HTTP, as their hosts have counted.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use host::protocol::{LATENCIES, Served};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// A container in labels: its id, and in Kubernetes its pod as `namespace/name`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Labels {
    pub container: String,
    pub pod: String,
}

/// What one server has done.
#[derive(Debug)]
pub struct Server {
    pub labels: Labels,
    pub served: Served,
}

/// The servers at the moment of a scrape.
#[derive(Debug, Clone, Default)]
pub struct Servers(Arc<Mutex<Vec<Server>>>);

impl Servers {
    pub fn set(&self, servers: Vec<Server>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = servers;
    }
}

impl Collector for Servers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let servers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if servers.is_empty() {
            return Ok(());
        }
        requests(&servers, &mut encoder)?;
        latencies(&servers, &mut encoder)?;
        gauge(
            &servers,
            &mut encoder,
            "http_requests_in_flight",
            "HTTP requests that are being answered",
            |it| it.in_flight,
        )?;
        gauge(&servers, &mut encoder, "http_instances", "Instances of components that serve HTTP", |it| {
            it.instances
        })?;
        failures(&servers, &mut encoder)
    }
}

fn requests(servers: &[Server], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "HTTP requests that are over, by the status code of the answer";
    let mut family = encoder.encode_descriptor("http_requests", help, None, MetricType::Counter)?;
    for Server { labels, served } in servers {
        for (code, count) in &served.requests {
            let [container, pod] = [&labels.container, &labels.pod].map(String::as_str);
            let labels = [("container", container), ("pod", pod), ("code", &code.to_string())];
            ConstCounter::new(*count).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn latencies(servers: &[Server], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let (name, help) = ("http_request_duration", "What HTTP requests took, to the end of the answer");
    let mut family = encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
    for Server { labels, served } in servers {
        let count: u64 = served.requests.values().sum();
        let within: u64 = served.latencies.iter().sum();
        let beyond = (f64::MAX, count.saturating_sub(within));
        let buckets: Vec<_> = LATENCIES.into_iter().zip(served.latencies).chain([beyond]).collect();
        family.encode_family(labels)?.encode_histogram::<NoLabelSet>(
            served.seconds,
            count,
            &buckets,
            None,
        )?;
    }
    Ok(())
}

fn gauge(
    servers: &[Server],
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: impl Fn(&Served) -> u64,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for Server { labels, served } in servers {
        let value = i64::try_from(value(served)).unwrap_or(i64::MAX);
        ConstGauge::new(value).encode(family.encode_family(labels)?)?;
    }
    Ok(())
}

fn failures(servers: &[Server], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let (name, help) =
        ("http_instance_failures", "Instances that trapped, ran out of memory or could not begin");
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for Server { labels, served } in servers {
        ConstCounter::new(served.failures).encode(family.encode_family(labels)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn what_servers_have_done_is_told_in_the_words_of_prometheus() {
        let mut registry = Registry::with_prefix("run_wasm");
        let servers = Servers::default();
        registry.register_collector(Box::new(servers.clone()));
        let text = || {
            let mut text = String::new();
            encode(&mut text, &registry).unwrap();
            text
        };
        assert_eq!(text(), "# EOF\n", "nobody serves");
        let mut latencies = [0; LATENCIES.len()];
        latencies[0] = 2;
        let labels = Labels { container: "c1".into(), pod: "shop/web".into() };
        let requests = [(200, 2), (503, 1)].into();
        let served = Served { requests, seconds: 61.5, latencies, in_flight: 1, instances: 4, failures: 3 };
        servers.set(vec![Server { labels, served }]);
        let text = text();
        let of = "container=\"c1\",pod=\"shop/web\"";
        for line in [
            format!("run_wasm_http_requests_total{{{of},code=\"503\"}} 1\n"),
            format!("run_wasm_http_request_duration_seconds_sum{{{of}}} 61.5\n"),
            format!("run_wasm_http_request_duration_seconds_count{{{of}}} 3\n"),
            format!("run_wasm_http_request_duration_seconds_bucket{{le=\"0.001\",{of}}} 2\n"),
            format!("run_wasm_http_request_duration_seconds_bucket{{le=\"+Inf\",{of}}} 3\n"),
            format!("run_wasm_http_requests_in_flight{{{of}}} 1\n"),
            format!("run_wasm_http_instances{{{of}}} 4\n"),
            format!("run_wasm_http_instance_failures_total{{{of}}} 3\n"),
        ] {
            assert!(text.contains(&line), "{line} is not in\n{text}");
        }
    }
}
