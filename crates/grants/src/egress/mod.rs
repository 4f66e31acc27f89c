//! Where a guest may send, and which names it may look up. Closed unless rules open it.
//!
//! A decision is made on the *address* that is about to be reached and on the *name* that the guest asked for to get
//! it, never on what the guest claims: so a name that is pointed elsewhere (DNS rebinding), a raw address, an
//! IPv4-mapped one or a redirect finds the same answer. [`Answers`] is the record of which addresses came from which
//! lookup.

mod answers;
mod cure;
mod name;
mod rule;
mod special;

use std::net::SocketAddr;
use std::time::Instant;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use answers::Answers;
pub(crate) use rule::network_of;
pub use rule::{Rule, RuleError};

use crate::Transport;
use rule::Attempt;

/// `text` in the one form that names are compared in: lower case, without a dot at the end. `None` for what is no name,
/// above all for an address in any spelling.
pub fn canonical_name(text: &str) -> Option<String> {
    name::canonical(text).ok()
}

/// The outgoing side of a container's network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Egress {
    allow: Vec<Rule>,
    deny_cidrs: Vec<IpNet>,
}

impl Egress {
    /// `wanted`, when `bound` (what the node allows at most; `None`: anything) covers every rule of it and
    /// `deny_cidrs` leaves something of each.
    pub(crate) fn new(
        wanted: Vec<Rule>,
        bound: Option<&[Rule]>,
        deny_cidrs: &[IpNet],
    ) -> Result<Self, RuleError> {
        for rule in &wanted {
            let text = rule.to_string();
            if bound.is_some_and(|bound| !bound.iter().any(|outer| rule.is_within(outer))) {
                return Err(RuleError::new(
                    &text,
                    "is more than this node allows (`egress.allow` in its config)",
                ));
            }
            if rule.network().is_some_and(|net| deny_cidrs.iter().any(|denied| denied.contains(net))) {
                return Err(RuleError::new(
                    &text,
                    "is denied on this node (`egress.deny-cidrs` in its config)",
                ));
            }
        }
        Ok(Self { allow: wanted, deny_cidrs: deny_cidrs.to_vec() })
    }

    /// Whether the guest may connect or send to `to`. `name_asked` is the name whose lookup gave this address, in the
    /// form that went to the resolver; `None` for an address that the guest brought itself.
    pub fn allows(&self, to: &SocketAddr, transport: Transport, name_asked: Option<&str>) -> bool {
        let address = special::canonical(to.ip());
        if special::is_this_host(address) || self.denies(address) {
            return false;
        }
        let name = name_asked.and_then(|name| name::canonical(name).ok());
        let attempt = Attempt { address, port: to.port(), transport, name: name.as_deref() };
        self.allow.iter().any(|rule| rule.allows(&attempt))
    }

    /// Whether the guest may connect or send to `to`, of which it knows what `answers` say at the time `now`.
    pub fn reaches(
        &self,
        to: &SocketAddr,
        transport: Transport,
        answers: &mut Answers,
        now: Instant,
    ) -> bool {
        self.allows(to, transport, None)
            || answers.use_if(to.ip(), now, |name| self.allows(to, transport, Some(name)))
    }

    /// Whether any rule is about names that somebody has to be asked for.
    pub fn needs_lookup(&self) -> bool {
        self.allow.iter().any(Rule::needs_lookup)
    }

    /// Whether the guest may look up `name`. An address in any spelling is no name.
    pub fn allows_name(&self, name: &str) -> bool {
        name::canonical(name).is_ok_and(|name| self.allow.iter().any(|rule| rule.names(&name)))
    }

    /// Whether `name` may lead anywhere at this port. Where to, [`Egress::allows`] decides.
    pub fn allows_name_at(&self, name: &str, port: u16, transport: Transport) -> bool {
        name::canonical(name)
            .is_ok_and(|name| self.allow.iter().any(|rule| rule.names(&name) && rule.opens(port, transport)))
    }

    /// Whether nothing at all may be reached.
    pub fn is_closed(&self) -> bool {
        self.allow.is_empty()
    }

    /// What is allowed, in the pod's order.
    pub fn rules(&self) -> &[Rule] {
        &self.allow
    }

    fn denies(&self, address: std::net::IpAddr) -> bool {
        special::faces(address).any(|face| self.deny_cidrs.iter().any(|net| net.contains(&face)))
    }
}
