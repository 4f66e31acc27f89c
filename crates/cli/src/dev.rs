//! `run-wasm dev`: a project that is built, run, and run anew whenever one of its files changes.
//!
//! The published ports are this process' own, from its first build to its end: each run takes connections from the same listeners,
//! and while none does, they wait. A new run begins before the old one ends, so that whoever comes meanwhile is served by one of
//! them.

mod changes;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use builder::project::{self, Built, PROJECT_FILE, Project};
use builder::registry::{self, Client, Dependencies, Silent, Source};
use image::Digest;

use crate::progress;
use crate::registry::Report;
use crate::run::{Instance, Options, Order, Profile, Publish, find_shim, image_of, nothing};
use crate::signals::{Signals, never_stop};
use changes::Changes;

/// Where a server is published when nothing is said.
const PORT: u16 = 8080;

const HELP: &str = "\
A build that fails is told, and what ran goes on. A server keeps its port: who comes while it is built waits, or is served by \
the old one. What is not watched: hidden files, build, target, node_modules, \
__pycache__, what the build makes, and what the guest may write to.

Unlike `run-wasm run`, the guest gets what a pod gets, unless --profile strict is said.

Example: run-wasm dev -p 8080 --egress api.example.com:443";

/// Builds and runs the project of a folder, and does so anew whenever a file changes.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    #[command(flatten)]
    options: Options,
    /// What the guest sees of the world besides what it is given.
    #[arg(long, value_enum, default_value = "standard")]
    profile: Profile,
    /// Tell progress as lines of JSON on stderr.
    #[arg(long)]
    json: bool,
    /// The folder with run.toml.
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Arguments of the guest, in place of the project's own.
    #[arg(last = true)]
    args: Vec<String>,
}

/// What runs.
struct Running {
    instance: Instance,
    digest: Digest,
}

struct Dev<'a> {
    args: &'a Args,
    shim: PathBuf,
    source: Dependencies,
    /// The ports and their listeners, once it is known that there are any.
    published: Option<(Vec<Publish>, Vec<OwnedFd>)>,
    running: Option<Running>,
}

impl Args {
    pub fn run(&self) -> ExitCode {
        match self.carry_out() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                progress::error(self.json, &error);
                ExitCode::FAILURE
            }
        }
    }

    fn carry_out(&self) -> Result<()> {
        let shim = find_shim(self.options.shim.as_deref())?;
        let source = Dependencies(Client::new(registry::Options::default(), Arc::new(Silent))?);
        // Runs end with the thread that began them.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            never_stop()?;
            let mut signals = Signals::new()?;
            let mut dev = Dev { args: self, shim, source, published: None, running: None };
            tokio::select! {
                ended = dev.go_on() => ended?,
                _ = signals.next() => {}
            }
            if let Some(running) = dev.running.take() {
                running.retire();
                // Whoever does not wait says so twice.
                tokio::select! {
                    _ = running.ended() => {}
                    _ = signals.next() => {}
                }
            }
            Ok(())
        })
    }
}

impl Dev<'_> {
    /// Builds and runs until it is dropped. Only what no later change of a file could cure is an error.
    async fn go_on(&mut self) -> Result<()> {
        let dir = &self.args.dir;
        let mut changes = Changes::of(dir, self.args.options.writable())?;
        loop {
            changes.begin_build();
            // Why it cannot be read is what the build says.
            let project = Project::read(&dir.join(PROJECT_FILE)).ok();
            // Also a build that fails is cured by a change of these.
            for folder in project.iter().flat_map(|project| folders(dir, project)) {
                changes.watch(&folder);
            }
            let built = self.build().await;
            let outputs = project.map(|project| outputs(dir, &project)).unwrap_or_default();
            if let Some(path) = changes.end_build(&outputs).await {
                self.tell(&format!(
                    "{} changes during every build: waits for another change; what a build writes may be in a hidden folder",
                    path.display()
                ));
            }
            let started = match built {
                Ok(built) => self.run(&built).await,
                Err(error) => Err(error),
            };
            if let Err(error) = started {
                progress::error(self.args.json, &error);
            }
            self.wait(&mut changes).await?;
        }
    }

    async fn build(&self) -> Result<Built> {
        let options = project::Options { created: crate::pack::created()?, ..project::Options::default() };
        let teller = Report { json: self.args.json, quiet: false }.progress();
        project::build(&self.args.dir, &self.source, &options, move |event| teller.step(event)).await
    }

    /// Puts what was built in the place of what runs.
    async fn run(&mut self, built: &Built) -> Result<()> {
        let digest = built.digest();
        if self.running.as_ref().is_some_and(|running| running.digest == digest) {
            self.tell("nothing has changed");
            return Ok(());
        }
        let program = image_of(&Source::layout(built.layout.clone()))?;
        let options = &self.args.options;
        if self.published.is_none() && (program.serves || !options.publish.is_empty()) {
            let publish = match options.publish.as_slice() {
                [] => vec![Publish { here: PORT, there: PORT }],
                some => some.to_vec(),
            };
            let listeners = options.listeners(&publish)?;
            self.published = Some((publish, listeners));
        }
        let (publish, listeners) = match &self.published {
            Some((publish, listeners)) => (publish.as_slice(), listeners.as_slice()),
            None => (&[][..], &[][..]),
        };
        let prepared =
            options.prepare(&self.shim, program, &self.args.args, publish, self.args.profile, None)?;
        // Two cannot listen at one port of one network, and two commands would speak at once.
        if publish.is_empty() || options.goes_out() {
            end(self.running.take()).await;
        }
        let stdin = nothing()?;
        let given = prepared.given(&stdin, listeners);
        let mut instance = Instance::begin(&prepared.job, prepared.own_network, self.args.json, &given)?;
        drop(given);
        drop(prepared);
        if !instance.started().await? {
            // It has said why.
            return Ok(());
        }
        let ports: Vec<String> =
            publish.iter().map(|port| format!("http://127.0.0.1:{}", port.here)).collect();
        self.tell(&match ports.as_slice() {
            [] => "running".to_owned(),
            ports => format!("running at {}", ports.join(", ")),
        });
        instance.order(Order::Serve);
        let old = self.running.replace(Running { instance, digest });
        if let Some(mut old) = old {
            old.retire();
            // It answers what it has been asked while the new one is there for all else.
            drop(old.instance.ended().await);
        }
        Ok(())
    }

    /// Waits for a change, and tells when what runs has ended meanwhile.
    async fn wait(&mut self, changes: &mut Changes) -> Result<()> {
        loop {
            let Some(running) = &mut self.running else {
                return self.changed(changes).await;
            };
            tokio::select! {
                changed = changes.next() => {
                    let changed = changed?;
                    self.tell(&format!("{} changed", changed.display()));
                    return Ok(());
                }
                code = running.instance.ended() => {
                    let code = code?;
                    self.running = None;
                    self.tell(&format!("ended with code {code}; waits for a change"));
                }
            }
        }
    }

    async fn changed(&self, changes: &mut Changes) -> Result<()> {
        let changed = changes.next().await?;
        self.tell(&format!("{} changed", changed.display()));
        Ok(())
    }

    fn tell(&self, text: &str) {
        if self.args.json {
            eprintln!("{}", serde_json::json!({"event": "dev", "message": text}));
        } else {
            eprintln!("dev: {text}");
        }
    }
}

impl Running {
    fn retire(&self) {
        self.instance.order(Order::Retire);
    }

    async fn ended(mut self) -> Result<u8> {
        self.instance.ended().await
    }
}

async fn end(running: Option<Running>) {
    if let Some(running) = running {
        running.retire();
        drop(running.ended().await);
    }
}

/// What the build makes: whoever would take that for a change would build for ever.
fn outputs(folder: &Path, project: &Project) -> Vec<PathBuf> {
    let components = project.components.values();
    let made = components.filter_map(|component| match &component.from {
        project::Origin::Build { output, .. } => Some(folder.join(&component.dir).join(output)),
        _ => None,
    });
    made.chain([folder.join(project::LOCK_FILE), folder.join(format!("{}.tar", project.name))]).collect()
}

/// Where the project's files are, besides its own folder.
fn folders(folder: &Path, project: &Project) -> Vec<PathBuf> {
    let components = project.components.values();
    let dirs = components.filter(|component| !matches!(component.from, project::Origin::Registry { .. }));
    dirs.map(|component| folder.join(&component.dir)).collect()
}
