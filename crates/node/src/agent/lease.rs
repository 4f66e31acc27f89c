//! One node at a time: a Lease of `coordination.k8s.io` that the agent which changes its node holds, and renews as long as it does.

use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::coordination::v1::{Lease as Object, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::PostParams;

use crate::say;

const NAME: &str = "run-wasm-node";
/// After which a holder that does not renew counts as dead, in seconds.
const DURATION: i32 = 300;
/// How long one call may take.
const CALL: Duration = Duration::from_secs(20);
/// How often the holder renews it.
const RENEW: Duration = Duration::from_secs(60);

/// The Lease as one agent sees it.
pub struct Leases {
    api: Api<Object>,
    /// The agent's pod: its successor on the same node is somebody else.
    identity: String,
    seen: Seen,
}

impl Leases {
    pub fn new(api: Api<Object>, identity: &str) -> Leases {
        Leases { api, identity: identity.to_owned(), seen: Seen::default() }
    }

    /// Takes the Lease. `None`: another agent holds it, or was faster.
    pub async fn acquire(&mut self) -> Result<Option<Lease>> {
        let context = "cannot take the Lease run-wasm-node";
        let found = match in_time(self.api.get_opt(NAME)).await {
            Ok(found) => found,
            Err(error) => {
                // Who cannot look has seen nobody stand still.
                self.seen = Seen::default();
                return Err(error).context(context);
            }
        };
        if let Some(object) = &found
            && let Some(holder) = holder(object).filter(|holder| *holder != self.identity)
            && self.seen.is_alive(object, Instant::now())
        {
            say!("{holder} changes its node: waiting");
            return Ok(None);
        }
        let now = Timestamp::now();
        let spec = LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(DURATION),
            acquire_time: Some(MicroTime(now)),
            renew_time: Some(MicroTime(now)),
            ..LeaseSpec::default()
        };
        let taken = match found {
            None => {
                let metadata = ObjectMeta { name: Some(NAME.into()), ..ObjectMeta::default() };
                let object = Object { metadata, spec: Some(spec) };
                self.api.create(&PostParams::default(), &object).await
            }
            // The version that was read goes with it: of two that take it, one is refused.
            Some(object) => {
                self.api.replace(NAME, &PostParams::default(), &Object { spec: Some(spec), ..object }).await
            }
        };
        match taken {
            Ok(_) => Ok(Some(Lease { api: self.api.clone(), identity: self.identity.clone() })),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
            Err(error) => Err(error).context(context),
        }
    }
}

/// The version of the Lease that was seen last, and since when. The clocks of two nodes may differ: a holder is dead when this
/// agent has seen nothing of it for the Lease's time.
#[derive(Debug, Default)]
struct Seen(Option<(String, Instant)>);

impl Seen {
    fn is_alive(&mut self, object: &Object, now: Instant) -> bool {
        let version = object.metadata.resource_version.as_deref().unwrap_or_default();
        match &self.0 {
            Some((seen, since)) if seen == version => now.duration_since(*since) < lasts(object),
            _ => {
                self.0 = Some((version.to_owned(), now));
                true
            }
        }
    }
}

/// Held until it is released, or runs out.
pub struct Lease {
    api: Api<Object>,
    identity: String,
}

impl Lease {
    /// Does the work, keeps the Lease meanwhile, and lets the next agent afterwards.
    pub async fn during<T>(self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let done = loop {
            tokio::select! {
                done = &mut work => break done,
                () = self.renew_later() => {}
            }
        };
        if let Err(error) = self.release().await {
            say!("warning: cannot let go of the Lease {NAME}, which runs out: {error:#}");
        }
        done
    }

    /// A holder that cannot renew it goes on: what it has begun it has to end.
    async fn renew_later(&self) {
        tokio::time::sleep(RENEW).await;
        if let Err(error) = self.renew().await {
            say!("warning: cannot renew the Lease {NAME}: {error:#}");
        }
    }

    /// What is there is read anew: an earlier renewal may have come about though its answer was lost.
    async fn renew(&self) -> Result<()> {
        let object = in_time(self.api.get_opt(NAME)).await?;
        let object = object.filter(|object| holder(object).as_deref() == Some(self.identity.as_str()));
        let Some(mut object) = object else { bail!("somebody else has taken it") };
        if let Some(spec) = &mut object.spec {
            spec.renew_time = Some(MicroTime(Timestamp::now()));
        }
        in_time(self.api.replace(NAME, &PostParams::default(), &object)).await?;
        Ok(())
    }

    /// What is there is read anew: the end of the work may have cut a renewal short.
    async fn release(self) -> Result<()> {
        let Some(mut object) = in_time(self.api.get_opt(NAME)).await? else { return Ok(()) };
        if holder(&object).as_deref() == Some(self.identity.as_str()) {
            if let Some(spec) = &mut object.spec {
                spec.holder_identity = None;
            }
            in_time(self.api.replace(NAME, &PostParams::default(), &object)).await?;
        }
        Ok(())
    }
}

/// An API server that does not answer, as one that is just being restarted, holds nobody up.
async fn in_time<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T> {
    Ok(tokio::time::timeout(CALL, call).await.context("the API server does not answer")??)
}

/// Whom it names.
fn holder(object: &Object) -> Option<String> {
    object.spec.as_ref()?.holder_identity.clone().filter(|holder| !holder.is_empty())
}

fn lasts(object: &Object) -> Duration {
    let seconds = object.spec.as_ref().and_then(|spec| spec.lease_duration_seconds).unwrap_or(DURATION);
    Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(holder: &str, version: &str) -> Object {
        let spec = LeaseSpec {
            holder_identity: Some(holder.into()),
            lease_duration_seconds: Some(DURATION),
            // A clock that is years behind.
            renew_time: Some(MicroTime(Timestamp::UNIX_EPOCH)),
            ..LeaseSpec::default()
        };
        let metadata = ObjectMeta { resource_version: Some(version.into()), ..ObjectMeta::default() };
        Object { metadata, spec: Some(spec) }
    }

    #[test]
    fn a_holder_is_dead_when_it_was_not_seen_to_renew() {
        let mut seen = Seen::default();
        let begin = Instant::now();
        let after = |seconds| begin + Duration::from_secs(seconds);
        assert!(seen.is_alive(&held("a", "1"), begin), "its clock does not count");
        assert!(seen.is_alive(&held("a", "1"), after(299)));
        assert!(seen.is_alive(&held("a", "2"), after(301)), "it has renewed");
        assert!(seen.is_alive(&held("a", "2"), after(600)));
        assert!(!seen.is_alive(&held("a", "2"), after(602)));
        assert!(seen.is_alive(&held("b", "3"), after(603)), "the next one has taken it");
    }

    #[test]
    fn a_lease_that_was_let_go_has_no_holder() {
        assert_eq!(holder(&held("", "1")), None);
        assert_eq!(holder(&held("a", "1")).as_deref(), Some("a"));
    }
}
