//! Prewarming: what containerd pulls is compiled before a pod wants it.
//!
//! The agent compiles nothing. It has containerd create a container of the image that never runs, which the shim answers by
//! compiling, in its own jail, into the node's cache. So there is one compiler and one who writes into the cache, and the agent
//! needs nothing but containerd's socket. One image at a time; what waits, and how large an image may be, is bounded.

mod containerd;
mod images;
mod queue;
mod recent;
mod warming;

use std::convert::Infallible;
use std::future::pending;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use containerd_client::types::Envelope;
use prost::Message;
use tokio::task::JoinSet;

use crate::containerd::Containerd;
use crate::queue::Queue;
use crate::recent::Recent;

/// How long a containerd that has gone is left alone.
const PAUSE: Duration = Duration::from_secs(5);

/// By when containerd has long begun to tell of its images.
const BEGUN: Duration = Duration::from_secs(1);

/// What is compiled, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// containerd's socket.
    pub socket: PathBuf,
    /// The containerd namespace whose images are compiled; kubelets' are in `k8s.io`.
    pub namespace: String,
    /// The modes that pods of this node use: `normal`, `shared`, or both with a comma.
    pub modes: String,
    /// The node config that those pods have; `None`: the node's own file.
    pub node_config: Option<String>,
    /// The shim's file, as containerd sees it; `None`: the one that it finds on its PATH.
    pub shim: Option<PathBuf>,
    /// The most bytes of Wasm that an image may have.
    pub most_bytes: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            socket: PathBuf::from("/run/containerd/containerd.sock"),
            namespace: "k8s.io".to_owned(),
            modes: "normal".to_owned(),
            node_config: None,
            shim: None,
            most_bytes: 64 << 20,
        }
    }
}

/// Compiles whatever is pulled, for as long as it is let. What goes wrong with one image, or with containerd, is told by `tell`
/// and got over.
pub async fn run(options: Options, tell: fn(&str)) -> Infallible {
    let options = Arc::new(options);
    loop {
        let Err(error) = watch(&options, tell).await;
        tell(&format!("prewarm: {error:#}"));
        tokio::time::sleep(PAUSE).await;
    }
}

/// Until containerd goes.
async fn watch(options: &Arc<Options>, tell: fn(&str)) -> Result<Infallible> {
    let containerd = Arc::new(Containerd::connect(&options.socket, &options.namespace).await?);
    for left in warming::left_behind(&containerd).await? {
        if let Err(error) = warming::take_away(&containerd, &left).await {
            tell(&format!("prewarm: the container {left} of an agent that ended stays: {error:#}"));
        }
    }
    let mut events = containerd.image_events();
    // containerd does not say when it has begun to listen. What comes before that is in a list that it is asked for later.
    let mut there = pin!(async {
        tokio::time::sleep(BEGUN).await;
        containerd.images().await
    });
    let (mut queue, mut listed) = (Queue::default(), false);
    let recent = Arc::new(Recent::default());
    // Its task ends with it.
    let mut work = JoinSet::new();
    loop {
        if work.is_empty()
            && let Some(name) = queue.pop()
        {
            let (containerd, options, recent) = (containerd.clone(), options.clone(), recent.clone());
            work.spawn(async move { (warming::warm(&containerd, &name, &options, &recent).await, name) });
        }
        let done = async {
            match work.join_next().await {
                Some(done) => done,
                None => pending().await,
            }
        };
        tokio::select! {
            event = events.next() => {
                if let Some(name) = named(&event?)
                    && let Some(left_out) = queue.push(name)
                {
                    tell(&format!("prewarm: too many images at once, {} is left out", left_out.escape_debug()));
                }
            }
            images = &mut there, if !listed => {
                queue.set_behind(images?);
                listed = true;
            }
            done = done => {
                let (outcome, name) = done.context("an image's compilation broke off")?;
                let name = name.escape_debug();
                match outcome {
                    Ok(Some(digest)) => tell(&format!("prewarm: {name} is ready ({digest})")),
                    Ok(None) => {}
                    Err(error) => tell(&format!("prewarm: {name} is not compiled ahead: {error:#}")),
                }
            }
        }
    }
}

/// The image that an event is about. Creation and update have the name in the same place.
fn named(event: &Envelope) -> Option<String> {
    let event = event.event.as_ref()?;
    let image = containerd_client::services::v1::ImageCreate::decode(event.value.as_slice()).ok()?;
    (!image.name.is_empty()).then_some(image.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_names_its_image() {
        let event = |value: Vec<u8>| {
            let any = prost_types::Any { type_url: "containerd.events.ImageUpdate".into(), value };
            Envelope { event: Some(any), ..Envelope::default() }
        };
        let update = containerd_client::services::v1::ImageUpdate {
            name: "registry.example/a:1".into(),
            ..Default::default()
        };
        assert_eq!(named(&event(update.encode_to_vec())).as_deref(), Some("registry.example/a:1"));
        assert_eq!(named(&event(Vec::new())), None);
        assert_eq!(named(&event(vec![0xff; 9])), None);
        assert_eq!(named(&Envelope::default()), None);
    }
}
