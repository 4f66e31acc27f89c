//! DNS by the pod's `/etc/resolv.conf`: its name servers, search list, `ndots`, `timeout` and `attempts`.
//!
//! The node's own configuration is never read: a jailed host could not, and a pod's names are its pod's.

use std::net::IpAddr;
use std::sync::OnceLock;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    LookupIpStrategy, ResolveHosts, ResolverConfig, ResolverOpts, ServerOrderingStrategy,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::system_conf::parse_resolv_conf;
use tokio::sync::Semaphore;

use super::Unresolved;

/// What resolv.conf(5) allows at most.
const MOST_SERVERS: usize = 3;
const MOST_SEARCHED: usize = 32;
const MOST_DOTS: usize = 15;
const LONGEST_TIMEOUT: Duration = Duration::from_secs(30);
const MOST_ATTEMPTS: usize = 5;

/// Questions on their way at once; further ones wait.
const IN_FLIGHT: usize = 32;
/// Answers that are kept for their time to live.
const CACHED: u64 = 256;
/// Of one answer, what a guest is told. A DNS message of 64 KiB could have thousands.
const MOST_ADDRESSES: usize = 64;

/// The name servers of a pod. No socket is made and no memory taken before the first question.
pub(super) struct Resolver {
    config: ResolverConfig,
    options: ResolverOpts,
    client: OnceLock<TokioResolver>,
    in_flight: Semaphore,
}

impl Resolver {
    /// From the text of a resolv.conf; says what is wrong with it.
    pub fn new(resolv_conf: &str) -> Result<Self, String> {
        let (config, mut options) = parse_resolv_conf(resolv_conf).map_err(|error| error.to_string())?;
        options.ndots = options.ndots.min(MOST_DOTS);
        options.timeout = options.timeout.clamp(Duration::from_secs(1), LONGEST_TIMEOUT);
        // The library counts what comes after the first.
        options.attempts = options.attempts.clamp(1, MOST_ATTEMPTS) - 1;
        options.use_hosts_file = ResolveHosts::Never;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
        options.num_concurrent_reqs = 1;
        options.cache_size = CACHED;
        let servers = config.name_servers().iter().take(MOST_SERVERS).cloned().collect();
        // Without the domain that the library derives from the node's host name.
        let search = config.search().iter().take(MOST_SEARCHED).cloned().collect();
        let config = ResolverConfig::from_parts(None, search, servers);
        Ok(Self { config, options, client: OnceLock::new(), in_flight: Semaphore::new(IN_FLIGHT) })
    }

    /// The names that `name` may stand for, in the order in which they are tried.
    pub fn candidates(&self, name: &str) -> Vec<String> {
        let searched = self.config.search().iter().map(|domain| format!("{name}.{domain}"));
        let searched = searched.filter_map(|name| grants::canonical_name(&name));
        let dots = name.bytes().filter(|byte| *byte == b'.').count();
        let itself = std::iter::once(name.to_owned());
        if dots >= self.options.ndots {
            itself.chain(searched).collect()
        } else {
            searched.chain(itself).collect()
        }
    }

    /// Asks for the addresses of a whole name.
    pub async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, Unresolved> {
        // Never closed.
        let _turn = self.in_flight.acquire().await;
        let found = self.client()?.lookup_ip(format!("{name}.")).await.map_err(|error| unresolved(&error))?;
        let addresses: Vec<IpAddr> =
            found.iter().map(|address| address.to_canonical()).take(MOST_ADDRESSES).collect();
        if addresses.is_empty() { Err(Unresolved::Unknown) } else { Ok(addresses) }
    }

    fn client(&self) -> Result<&TokioResolver, Unresolved> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let builder =
            TokioResolver::builder_with_config(self.config.clone(), TokioRuntimeProvider::default())
                .with_options(self.options.clone());
        let client = builder.build().map_err(|error| unresolved(&error))?;
        Ok(self.client.get_or_init(|| client))
    }
}

fn unresolved(error: &NetError) -> Unresolved {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain | ResponseCode::NoError => Unresolved::Unknown,
            code => Unresolved::Refused(code.to_string()),
        },
        NetError::Dns(DnsError::ResponseCode(code)) => Unresolved::Refused(code.to_string()),
        NetError::Timeout => Unresolved::Timeout,
        other => Unresolved::Unreachable(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KUBELETS: &str = "search default.svc.cluster.local svc.cluster.local cluster.local\n\
                            nameserver 10.96.0.10\noptions ndots:5\n";

    #[test]
    fn a_short_name_is_searched_first_and_a_long_one_last() {
        let pod = Resolver::new(KUBELETS).unwrap();
        assert_eq!(
            pod.candidates("db"),
            ["db.default.svc.cluster.local", "db.svc.cluster.local", "db.cluster.local", "db"]
        );
        assert_eq!(pod.candidates("a.b.c.d.e.example").first().unwrap(), "a.b.c.d.e.example");
        let plain = Resolver::new("nameserver 10.96.0.10\n").unwrap();
        assert_eq!(plain.candidates("db"), ["db"]);
    }

    #[test]
    fn what_is_excessive_is_cut() {
        let excessive = "nameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\nnameserver 10.0.0.4\n\
                         options ndots:99 timeout:999 attempts:99\n";
        let resolver = Resolver::new(excessive).unwrap();
        assert_eq!(resolver.config.name_servers().len(), 3);
        assert_eq!((resolver.options.ndots, resolver.options.attempts), (15, 4));
        assert_eq!(resolver.options.timeout, LONGEST_TIMEOUT);
    }

    #[test]
    fn without_a_name_server_it_says_so() {
        let error = Resolver::new("search example.com\n").err().unwrap();
        assert!(error.contains("no nameservers"), "{error}");
    }
}
