//! The node's containerd: what it is, what it knows, and how it is made to read its config anew.

mod cri;
mod restart;
mod systemd;
mod tasks;
mod validate;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use containerd_client::tonic::transport::Channel;
use containerd_client::{Client, connect};
use semver::Version;

pub use self::restart::Restart;
pub use self::tasks::Task;
use crate::distro::Distro;
use crate::paths::Root;
use crate::say;

/// How long one call may take.
const CALL: Duration = Duration::from_secs(5);
/// How long one that does not answer is taken for one that is starting, where nobody is known to start it.
const ARRIVAL: Duration = Duration::from_secs(30);
/// How often a containerd that comes up is asked.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub struct Containerd {
    pub root: Root,
    pub distro: Distro,
    /// The config that it reads, as the node knows it.
    pub config: PathBuf,
    pub socket: PathBuf,
    /// Its program, where one was found.
    pub program: Option<PathBuf>,
    pub restart: Restart,
    /// How long a restart may take, until it answers again.
    pub patience: Duration,
}

impl Containerd {
    /// Which release answers.
    pub async fn version(&self) -> Result<Version> {
        let ask = async {
            Ok(Client::from(self.channel().await?).version().version(()).await?.into_inner().version)
        };
        let text = self.within(ask).await?;
        parse_version(&text)
    }

    /// The handlers that its CRI knows.
    pub async fn handlers(&self) -> Result<Vec<String>> {
        self.within(async { cri::handlers(self.channel().await?).await }).await
    }

    /// Our tasks, of all its namespaces, that have not ended.
    pub async fn tasks(&self) -> Result<Vec<Task>> {
        self.within(async { tasks::ours(self.channel().await?).await }).await
    }

    /// Whether it answers and has the handlers that are `true`, and none that is `false`.
    pub async fn has(&self, wanted: &BTreeMap<String, bool>) -> bool {
        matches!(self.handlers().await, Ok(known) if missing(wanted, &known).is_none())
    }

    /// Waits until it answers as wanted.
    ///
    /// # Errors
    /// It does not in time; the last reason is told.
    pub async fn probe(&self, wanted: &BTreeMap<String, bool>) -> Result<()> {
        let end = Instant::now() + self.patience;
        loop {
            let why = match (self.version().await, self.handlers().await) {
                (Ok(_), Ok(known)) => match missing(wanted, &known) {
                    None => return Ok(()),
                    Some(why) => why,
                },
                (Err(error), _) | (_, Err(error)) => format!("{error:#}"),
            };
            if Instant::now() > end {
                bail!(
                    "containerd is not as it should be {} s after its restart: {why}",
                    self.patience.as_secs()
                );
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Whether there is somebody who restarts it: asked before anything is changed for which it has to be.
    pub async fn can_restart(&self) -> Result<()> {
        let checked = tokio::time::timeout(CALL * 2, self.restart.check(&self.root, self.distro)).await;
        checked.context("systemd does not answer, so nobody could restart containerd")?
    }

    /// Has it read its config anew, and returns when whoever does that says that it is done.
    pub async fn restart(&self) -> Result<()> {
        let restarted = tokio::time::timeout(self.patience, self.restart.run(&self.root, self.distro)).await;
        restarted
            .with_context(|| format!("containerd's restart took longer than {} s", self.patience.as_secs()))?
    }

    /// Waits until it answers, where it may be starting: restarted just now by a run that was killed, or by somebody else. containerd 2
    /// that is ended while it loads its tasks takes them for gone and removes their bundles. It has as long as a restart may take
    /// while somebody is known to start it, and else, since it may be down, [`ARRIVAL`].
    pub async fn arrive(&self) {
        let begun = Instant::now();
        let mut said = false;
        loop {
            // In this order: the old one may answer until whoever restarts it has ended it.
            let starts = self.is_being_restarted().await;
            if !starts && self.handlers().await.is_ok() {
                return;
            }
            let most = if starts { self.patience } else { ARRIVAL.min(self.patience) };
            if begun.elapsed() > most {
                return;
            }
            if !said {
                say!("containerd may be starting: it is waited for, {} s at most", most.as_secs());
                said = true;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Whether somebody is known to do that.
    async fn is_being_restarted(&self) -> bool {
        let asked = tokio::time::timeout(CALL * 2, self.restart.is_under_way(&self.root, self.distro)).await;
        asked.unwrap_or(false)
    }

    /// Asks the node's containerd whether it understands its config, and whether the handlers are in it as wanted.
    pub async fn validate(&self, wanted: &BTreeMap<String, bool>) -> Result<()> {
        validate::validate(self, wanted).await
    }

    /// The handlers that it would know after a restart. `None` where only the restart shows that.
    pub async fn configured(&self) -> Result<Option<Vec<String>>> {
        validate::configured(self).await
    }

    async fn channel(&self) -> Result<Channel> {
        let path = self.root.at(&self.socket);
        let shown = self.socket.display();
        connect(path).await.with_context(|| format!("containerd does not answer at {shown}: is it running?"))
    }

    async fn within<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let answer = tokio::time::timeout(CALL, call).await;
        answer.with_context(|| {
            format!("containerd took more than {} s to answer at {}", CALL.as_secs(), self.socket.display())
        })?
    }
}

/// What is not as wanted, in words.
fn missing(wanted: &BTreeMap<String, bool>, known: &[String]) -> Option<String> {
    wanted.iter().find_map(|(handler, is_wanted)| match (is_wanted, known.contains(handler)) {
        (true, false) => Some(format!("its CRI does not know the handler `{handler}`")),
        (false, true) => Some(format!("its CRI still knows the handler `{handler}`")),
        _ => None,
    })
}

/// Distributions write `1.7.24~ds1` or `v2.1.9-k3s1` for a release.
fn parse_version(text: &str) -> Result<Version> {
    let digits: String = text
        .trim_start_matches('v')
        .chars()
        .take_while(|char| char.is_ascii_digit() || *char == '.')
        .collect();
    let numbers: Vec<u64> = digits.split('.').map_while(|part| part.parse().ok()).collect();
    match numbers.as_slice() {
        [major, minor, patch, ..] => Ok(Version::new(*major, *minor, *patch)),
        [major, minor] => Ok(Version::new(*major, *minor, 0)),
        _ => bail!("containerd says that its version is `{}`: that is none", text.escape_debug()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_distributions_are_understood() {
        let read = |text| parse_version(text).map(|version| version.to_string()).unwrap_or_default();
        assert_eq!(
            ["1.7.24~ds1", "v2.1.9-k3s1", "2.0", "2.3.0-rc.1", "unknown"].map(read),
            ["1.7.24", "2.1.9", "2.0.0", "2.3.0", ""]
        );
    }
}
