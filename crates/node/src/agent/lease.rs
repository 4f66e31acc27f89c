//! One node at a time: a Lease of `coordination.k8s.io` that the node which is being changed holds.

use anyhow::{Context, Result};
use k8s_openapi::api::coordination::v1::{Lease as Object, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::Api;
use kube::api::PostParams;

use crate::say;

const NAME: &str = "run-wasm-node";
/// After which a holder counts as dead, in seconds: longer than an installation with its way back.
const DURATION: i32 = 300;

pub struct Lease {
    leases: Api<Object>,
    object: Object,
}

impl Lease {
    /// Takes the Lease. `None`: another node holds it, or was faster.
    pub async fn acquire(leases: Api<Object>, node: &str) -> Result<Option<Lease>> {
        let context = "cannot take the Lease run-wasm-node";
        let found = leases.get_opt(NAME).await.context(context)?;
        let now = Timestamp::now();
        if let Some(holder) = found.as_ref().and_then(|object| holder(object, now))
            && holder != node
        {
            say!("{holder} is being changed: waiting");
            return Ok(None);
        }
        let spec = LeaseSpec {
            holder_identity: Some(node.to_owned()),
            lease_duration_seconds: Some(DURATION),
            acquire_time: Some(MicroTime(now)),
            renew_time: Some(MicroTime(now)),
            ..LeaseSpec::default()
        };
        let taken = match found {
            None => {
                let metadata = ObjectMeta { name: Some(NAME.into()), ..ObjectMeta::default() };
                let object = Object { metadata, spec: Some(spec) };
                leases.create(&PostParams::default(), &object).await
            }
            // The version that was read goes with it: of two that take it, one is refused.
            Some(object) => {
                leases.replace(NAME, &PostParams::default(), &Object { spec: Some(spec), ..object }).await
            }
        };
        match taken {
            Ok(object) => Ok(Some(Lease { leases, object })),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
            Err(error) => Err(error).context(context),
        }
    }

    /// Lets the next node. One that cannot be let go runs out.
    pub async fn release(mut self) {
        if let Some(spec) = &mut self.object.spec {
            spec.holder_identity = None;
        }
        if let Err(error) = self.leases.replace(NAME, &PostParams::default(), &self.object).await {
            say!("warning: cannot let go of the Lease {NAME}: {error}");
        }
    }
}

/// Who holds it now, if anybody.
fn holder(object: &Object, now: Timestamp) -> Option<String> {
    let spec = object.spec.as_ref()?;
    let holder = spec.holder_identity.clone().filter(|holder| !holder.is_empty())?;
    let lasts = SignedDuration::from_secs(spec.lease_duration_seconds.unwrap_or(DURATION).into());
    let renewed = spec.renew_time.as_ref()?.0;
    (now.duration_since(renewed) < lasts).then_some(holder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(holder: &str, seconds_ago: i64) -> Object {
        let renewed = Timestamp::now() - SignedDuration::from_secs(seconds_ago);
        let spec = LeaseSpec {
            holder_identity: Some(holder.into()),
            lease_duration_seconds: Some(DURATION),
            renew_time: Some(MicroTime(renewed)),
            ..LeaseSpec::default()
        };
        Object { metadata: ObjectMeta::default(), spec: Some(spec) }
    }

    #[test]
    fn a_lease_is_held_until_it_runs_out() {
        let holder_of = |object: Object| holder(&object, Timestamp::now());
        assert_eq!(holder_of(held("a", 10)).as_deref(), Some("a"));
        assert_eq!(holder_of(held("a", 1000)), None);
        assert_eq!(holder_of(held("", 10)), None);
    }
}
