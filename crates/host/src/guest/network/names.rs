//! Name lookup for a guest: by the pod's files and name servers, for the names that its egress grants, and for no other.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use grants::{Answers, Egress, Transport};
use tokio::time::timeout;

use super::hosts::Hosts;
use super::resolver::Resolver;
use crate::guest::{Denials, PrepareError};
use crate::protocol::{Kind, NameFiles};

/// How long one lookup may take, with all that the pod's configuration lets it try.
const PATIENCE: Duration = Duration::from_secs(60);

/// This pod by its own name (RFC 6761, 6.3): no server is asked, and no file.
const LOCALHOST: &str = "localhost";

/// Why there are no addresses for a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::guest) enum Unresolved {
    #[error("no egress rule grants the name")]
    Denied,
    #[error("that is no name")]
    Invalid,
    #[error("there is no such name, or it has no address")]
    Unknown,
    #[error("the name servers did not answer in time")]
    Timeout,
    #[error("the name server answers {0}")]
    Refused(String),
    #[error("no name server can be reached: {0}")]
    Unreachable(String),
}

/// The names of one guest: who answers for them, and what it was told.
pub(in crate::guest) struct Names {
    egress: Egress,
    hosts: Hosts,
    resolver: Option<Resolver>,
    answers: Mutex<Answers>,
    denials: Denials,
}

/// The addresses of a name, and every granted name that the question had on its way to them: as it was asked, and as
/// the search list completed it.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::guest) struct Found {
    pub addresses: Vec<IpAddr>,
    names: Vec<String>,
}

impl Names {
    /// Reads the pod's files, where names are granted at all. A rule that nobody could ever look up is refused.
    /// `denials` hears of lookups that no rule allows.
    pub fn new(egress: &Egress, files: &NameFiles, denials: Denials) -> Result<Self, PrepareError> {
        let hosts = files.hosts.as_deref().map(Hosts::parse).unwrap_or_default();
        let resolver = match &files.resolv_conf {
            Some(text) => {
                Resolver::new(text).map_err(|why| format!("cannot use its /etc/resolv.conf ({why})"))
            }
            None => Err("has no /etc/resolv.conf, which names the name servers".to_owned()),
        };
        let in_hosts = |rule: &grants::Rule| hosts.names().any(|name| rule.is_about(name));
        if let Err(why) = &resolver
            && let Some(rule) = egress.rules().iter().find(|rule| rule.needs_lookup() && !in_hosts(rule))
        {
            return Err(PrepareError::Lookup { rule: rule.to_string(), why: why.clone() });
        }
        Ok(Self {
            egress: egress.clone(),
            hosts,
            resolver: resolver.ok(),
            answers: Mutex::default(),
            denials,
        })
    }

    /// Hears of what is denied to this guest.
    pub fn denials(&self) -> &Denials {
        &self.denials
    }

    /// What would allow the guest to connect or send to `to`, by the name that it asked for if it asked for one.
    pub fn cure(&self, to: &SocketAddr, transport: Transport) -> String {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        self.egress.cure(to, transport, answers.name_of(to.ip()))
    }

    /// What would allow a request to this name.
    pub fn cure_name(&self, name: &str, port: u16) -> String {
        self.egress.cure_name(name, Some(port))
    }

    /// Whether the guest may connect or send to `to`, with what it was told so far.
    pub fn reaches(&self, to: &SocketAddr, transport: Transport) -> bool {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        self.egress.reaches(to, transport, &mut answers, Instant::now())
    }

    /// Whether the names of `found` lead anywhere at this port.
    pub fn opens(&self, found: &Found, port: u16, transport: Transport) -> bool {
        found.names.iter().any(|name| self.egress.allows_name_at(name, port, transport))
    }

    /// Whether `to` is open to a guest that asked for the name of `found`, or without a name.
    pub fn allows(&self, to: &SocketAddr, transport: Transport, found: Option<&Found>) -> bool {
        match found {
            None => self.egress.allows(to, transport, None),
            Some(found) => found.names.iter().any(|name| self.egress.allows(to, transport, Some(name))),
        }
    }

    /// For `wasi:sockets`: the addresses of `asked`, which the guest may reach from now on as its rules for this name
    /// say. An address in text is itself, and opens nothing.
    pub async fn resolve(&self, asked: &str) -> Result<Vec<IpAddr>, Unresolved> {
        if let Some(address) = literal(asked) {
            return Ok(vec![address]);
        }
        self.may_ask(asked)?;
        let Found { addresses, names } = self.find(asked).await?;
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        names.iter().for_each(|name| answers.tell(name, &addresses, Instant::now()));
        Ok(addresses)
    }

    /// Looks up `asked`, a name. Nothing is remembered: only who is not told the addresses may ask so.
    pub async fn find(&self, asked: &str) -> Result<Found, Unresolved> {
        let question = self.question(asked)?;
        timeout(PATIENCE, self.answer(question)).await.unwrap_or(Err(Unresolved::Timeout))
    }

    /// Whether `asked` may be asked for at all: the error of a lookup that needs no server.
    pub fn may_ask(&self, asked: &str) -> Result<(), Unresolved> {
        if literal(asked).is_some() {
            return Ok(());
        }
        let denied = self.question(asked).map(drop);
        if denied == Err(Unresolved::Denied) {
            let cure = || self.egress.cure_name(asked, None);
            self.denials
                .note(Kind::Lookup, || format!("lookup of {} denied: {}", asked.escape_debug(), cure()));
        }
        denied
    }

    fn question(&self, asked: &str) -> Result<Question, Unresolved> {
        let ascii = idna::domain_to_ascii(asked).map_err(|_| Unresolved::Invalid)?;
        let name = grants::canonical_name(&ascii).ok_or(Unresolved::Invalid)?;
        let granted = self.egress.allows_name(&name);
        let candidates = match &self.resolver {
            // A dot at the end says that it is whole.
            Some(resolver) if !ascii.ends_with('.') => resolver.candidates(&name),
            _ => vec![name.clone()],
        };
        let may = |candidate: &String| granted || self.egress.allows_name(candidate);
        let candidates: Vec<String> = candidates.into_iter().filter(may).collect();
        if candidates.is_empty() {
            return Err(Unresolved::Denied);
        }
        Ok(Question { name, granted, candidates })
    }

    async fn answer(&self, question: Question) -> Result<Found, Unresolved> {
        let Question { name, granted, candidates } = question;
        if granted && name == LOCALHOST {
            let loopback = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
            return Ok(Found { addresses: loopback.into(), names: vec![name] });
        }
        if let Some(addresses) = self.hosts.addresses(&name).filter(|_| granted) {
            return Ok(Found { addresses: addresses.to_vec(), names: vec![name] });
        }
        let resolver = self.resolver.as_ref().ok_or(Unresolved::Unknown)?;
        let mut error = Unresolved::Unknown;
        for candidate in candidates {
            match resolver.addresses(&candidate).await {
                Ok(addresses) => {
                    let as_asked = Some(name).filter(|name| granted && *name != candidate);
                    let completed = Some(candidate).filter(|candidate| self.egress.allows_name(candidate));
                    return Ok(Found { addresses, names: as_asked.into_iter().chain(completed).collect() });
                }
                Err(Unresolved::Unknown) => {}
                Err(refused @ Unresolved::Refused(_)) => error = refused,
                Err(other) => return Err(other),
            }
        }
        Err(error)
    }
}

/// What is asked in a guest's name: only what its rules are about.
struct Question {
    name: String,
    /// Whether a rule is about the name as it was asked.
    granted: bool,
    candidates: Vec<String>,
}

/// An address as text, an IPv6 one with brackets or without.
pub(in crate::guest) fn literal(text: &str) -> Option<IpAddr> {
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match inner {
        Some(inner) => inner.parse().ok().map(IpAddr::V6),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(egress: &str, resolv_conf: Option<&str>, hosts: &str) -> Result<Names, PrepareError> {
        let files = NameFiles { resolv_conf: resolv_conf.map(str::to_owned), hosts: Some(hosts.to_owned()) };
        Names::new(crate::guest::tests::grants(egress, "").egress(), &files, Denials::new(|_| {}))
    }

    fn resolve(names: &Names, asked: &str) -> Result<Vec<String>, Unresolved> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let addresses = runtime.block_on(names.resolve(asked))?;
        Ok(addresses.iter().map(ToString::to_string).collect())
    }

    const HOSTS: &str = "127.0.0.1 localhost\n192.0.2.1 db.example.com db\n10.0.0.1 other\n";

    #[test]
    fn a_name_of_the_hosts_file_opens_its_addresses() {
        let names = names("db.example.com:5432", None, HOSTS).unwrap();
        let to = "192.0.2.1:5432".parse().unwrap();
        assert!(!names.reaches(&to, Transport::Tcp), "nobody asked yet");
        assert_eq!(resolve(&names, "DB.example.com.").unwrap(), ["192.0.2.1"]);
        assert!(names.reaches(&to, Transport::Tcp));
        assert_eq!(resolve(&names, "other"), Err(Unresolved::Denied));
        assert_eq!(resolve(&names, "db"), Err(Unresolved::Denied), "it is granted by its long name");
    }

    #[test]
    fn an_address_in_text_is_itself_and_opens_nothing() {
        let names = names("*", Some("nameserver 192.0.2.53"), "").unwrap();
        assert_eq!(resolve(&names, "203.0.113.7").unwrap(), ["203.0.113.7"]);
        assert_eq!(resolve(&names, "[2001:db8::1]").unwrap(), ["2001:db8::1"]);
        assert!(!names.reaches(&"203.0.113.7:443".parse().unwrap(), Transport::Tcp));
        for spelled in ["127.1", "0x7f.1", "2130706433", "1.2.3.4.5", "", "a b", "１２７.1", "*"] {
            assert_eq!(resolve(&names, spelled), Err(Unresolved::Invalid), "{spelled}");
        }
    }

    #[test]
    fn localhost_needs_no_server_and_a_grant() {
        let granted = names("localhost:80", None, "").unwrap();
        assert_eq!(resolve(&granted, "LocalHost").unwrap(), ["127.0.0.1", "::1"]);
        assert!(granted.reaches(&"[::1]:80".parse().unwrap(), Transport::Tcp));
        let others = names("10.0.0.0/8", None, HOSTS).unwrap();
        assert_eq!(resolve(&others, "localhost"), Err(Unresolved::Denied));
    }

    #[test]
    fn a_short_name_may_stand_for_a_granted_long_one_and_for_no_other() {
        let pods = "nameserver 192.0.2.53\nsearch default.svc.cluster.local corp.example\noptions ndots:5\n";
        let names = names("*.svc.cluster.local, bare", Some(pods), "").unwrap();
        let question = |asked: &str| names.question(asked).map(|question| question.candidates);
        assert_eq!(question("db").unwrap(), ["db.default.svc.cluster.local"]);
        assert_eq!(
            question("bare").unwrap(),
            ["bare.default.svc.cluster.local", "bare.corp.example", "bare"]
        );
        assert_eq!(question("bare.").unwrap(), ["bare"]);
        assert_eq!(question("db."), Err(Unresolved::Denied));
    }

    #[test]
    fn a_rule_that_nobody_could_look_up_is_refused() {
        let refused = |egress, resolv_conf| names(egress, resolv_conf, HOSTS).err().unwrap().to_string();
        let none = refused("10.0.0.1, *.example.org:443", None);
        assert!(none.contains("`*.example.org:443`") && none.contains("has no /etc/resolv.conf"), "{none}");
        let empty = refused("api.example.com", Some("search a\n"));
        assert!(
            empty.contains("cannot use its /etc/resolv.conf (") && empty.contains("no nameservers"),
            "{empty}"
        );
        assert!(names("10.0.0.1, localhost, *.example.com", None, HOSTS).is_ok(), "its hosts file has one");
    }
}
