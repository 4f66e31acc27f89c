//! The first process of a run's namespaces. It plays containerd's part towards one shim: makes the bundle, has the container created
//! and started, and ends as the guest does. With it ends everything else in here.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Signal, set_parent_process_death_signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::channel::{Channel, Content, Job, News, Order};
use super::forward::forward;
use super::namespaces::mount_proc;
use super::streams::{Event, OpenLine, Streams};
use super::task::Task;
use super::{NOT_RUN, not_run};

/// How long a guest that serves has to answer what it was asked before it was to end.
const DRAINING: Duration = Duration::from_secs(10);

/// How long the last words of a guest that has ended may take to its clients.
const FAREWELL: Duration = Duration::from_secs(2);

const KILL: i32 = Signal::KILL.as_raw();

/// What a shell says of a program that wrote to nobody.
const UNREAD: u8 = 128 + 13;

/// The whole life of this process. `json`: how an error is told, and that what stderr ends with is a whole line.
pub fn run(json: bool) -> ExitCode {
    let open_line = OpenLine::default();
    let ended = (|| {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        mount_proc()?;
        let channel = io::stdin().as_fd().try_clone_to_owned()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let code = runtime.block_on(async { carry_out(Channel::new(channel)?, &open_line).await });
        runtime.shutdown_background();
        code
    })();
    if open_line.load(Ordering::Relaxed) && (json || ended.is_err()) {
        // Who does not listen misses no result.
        drop(io::stderr().write_all(b"\n"));
    }
    // What still waits in a thread is not waited for.
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(error) => not_run(json, &error),
    }
}

async fn carry_out(channel: Channel, open_line: &OpenLine) -> Result<u8> {
    let (job, stdin, listeners, files) = job(&channel).await?;
    let bundle = job.state.join("bundle");
    write_bundle(&bundle, &job, files).context("cannot write the bundle")?;
    let (told, mut events) = mpsc::unbounded_channel();
    let streams = Streams::open(&job.state, stdin, job.terminal.is_some(), &told, open_line)?;
    let (open, is_open) = watch::channel(false);
    let task = tokio::select! {
        task = created(&job, &bundle, &streams) => task?,
        gone = abandoned(&channel, &open) => return gone,
    };
    channel.send(&News::Started, &[])?;
    let mut ports = JoinSet::new();
    for (listener, port) in listeners.into_iter().zip(&job.ports) {
        ports.spawn(forward(listener, *port, is_open.clone()));
    }
    let mut wait = std::pin::pin!(task.wait());
    let mut deadline: Option<Instant> = None;
    let mut unread = false;
    let mut unwritable = None;
    let code = loop {
        let kill = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            code = &mut wait => break code?,
            () = kill => {
                task.kill(KILL).await;
                deadline = None;
            }
            Some(event) = events.recv() => match event {
                Event::InputEnded => task.close_stdin().await,
                Event::Unread => {
                    unread = true;
                    task.kill(KILL).await;
                }
                Event::Unwritable(error) => {
                    unwritable = Some(error);
                    task.kill(KILL).await;
                }
            },
            order = channel.receive::<Order>() => match order?.map(|(order, _)| order) {
                Some(Order::Signal(signal)) => task.kill(signal).await,
                Some(Order::Resize(size)) => task.resize(size).await,
                Some(Order::Serve) => _ = open.send_replace(true),
                Some(Order::Retire) => {
                    open.send_replace(false);
                    task.kill(Signal::TERM.as_raw()).await;
                    deadline = Some(Instant::now() + DRAINING);
                }
                Some(Order::Run) => bail!("one run has one job"),
                // Nobody waits for the guest any more, and all of this goes.
                None => return Ok(NOT_RUN),
            },
        }
    };
    open.send_replace(false);
    task.end().await?;
    let told = tokio::task::spawn_blocking(move || streams.finish());
    tokio::select! {
        told = told => told?,
        // Whoever reads our output stands still, and somebody does not wait for them.
        _ = abandoned(&channel, &open) => {}
    }
    // The last words come after the end.
    while let Ok(event) = events.try_recv() {
        if let Event::Unwritable(error) = event {
            unwritable = Some(error);
        }
    }
    drop(timeout(FAREWELL, async { while ports.join_next().await.is_some() {} }).await);
    if let Some(error) = unwritable {
        return Err(error).context("cannot write the output");
    }
    Ok(if unread { UNREAD } else { u8::try_from(code).unwrap_or(u8::MAX) })
}

async fn created(job: &Job, bundle: &Path, streams: &Streams) -> Result<Task> {
    let task = Task::begin(&job.shim, bundle, &job.config).await?;
    task.create(bundle, &job.config, streams).await?;
    if let Some(size) = job.terminal {
        task.resize(size).await;
    }
    task.start().await?;
    Ok(task)
}

/// Returns when whoever asked for the run does not wait for it: before it has begun, or after it has ended.
async fn abandoned(channel: &Channel, open: &watch::Sender<bool>) -> Result<u8> {
    loop {
        match channel.receive::<Order>().await?.map(|(order, _)| order) {
            Some(Order::Signal(signal)) => return Ok(u8::try_from(128 + signal).unwrap_or(NOT_RUN)),
            None | Some(Order::Retire) => return Ok(NOT_RUN),
            Some(Order::Serve) => _ = open.send_replace(true),
            Some(_) => {}
        }
    }
}

/// The job, stdin, the listeners and the files.
async fn job(channel: &Channel) -> Result<(Job, OwnedFd, Vec<OwnedFd>, Vec<OwnedFd>)> {
    let received = channel.receive::<Order>().await?;
    let (Order::Run, descriptors) = received.context("there is nothing to run")? else {
        bail!("there is nothing to run")
    };
    let mut descriptors = descriptors.into_iter();
    let mut text = Vec::new();
    let file = descriptors.next().context("the job is missing")?;
    File::from(file).read_to_end(&mut text).context("cannot read the job")?;
    let job: Job = serde_json::from_slice(&text).context("the job is unreadable")?;
    let stdin = descriptors.next().context("stdin is missing")?;
    let listeners: Vec<OwnedFd> = descriptors.by_ref().take(job.ports.len()).collect();
    Ok((job, stdin, listeners, descriptors.collect()))
}

fn write_bundle(bundle: &Path, job: &Job, files: Vec<OwnedFd>) -> Result<()> {
    let rootfs = bundle.join("rootfs");
    fs::create_dir_all(&rootfs)?;
    for (content, file) in job.files.iter().zip(files) {
        let mut file = File::from(file);
        match content {
            Content::File(path) => {
                let path = rootfs.join(inside(path)?);
                fs::create_dir_all(path.parent().unwrap_or(&rootfs))?;
                io::copy(&mut file, &mut File::create(path)?)?;
            }
            // Names and links that lead out are left out by the library.
            Content::Layer => {
                let mut archive = tar::Archive::new(io::BufReader::new(file));
                archive.set_preserve_permissions(true);
                archive.unpack(&rootfs).context("cannot unpack the image's root file system")?;
            }
        }
    }
    Ok(fs::write(bundle.join("config.json"), serde_json::to_vec(&job.spec)?)?)
}

/// A path of the guest's, relative to its root.
fn inside(path: &Path) -> Result<PathBuf> {
    let mut inside = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => inside.push(name),
            Component::RootDir | Component::CurDir => {}
            _ => bail!("the image has a file {}, which leads out of its root", path.display()),
        }
    }
    Ok(inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_an_image_stays_in_its_root() {
        assert_eq!(inside(Path::new("/a/./b.wasm")).unwrap(), Path::new("a/b.wasm"));
        assert!(inside(Path::new("a/../../b")).unwrap_err().to_string().contains("leads out"));
    }
}
