//! The event queue: what happened to tasks, told to containerd in order and without loss.
//!
//! One event is under way at a time; while containerd is away the rest waits. An event is lost only with the shim
//! itself, and then containerd publishes the exit on its own.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use containerd_shim_protos::shim::event::Envelope;
use containerd_shim_protos::shim::events::ForwardRequest;
use containerd_shim_protos::shim_async::{Client, EventsClient};
use protobuf::well_known_types::any::Any;
use protobuf::well_known_types::timestamp::Timestamp;
use protobuf::{MessageField, MessageFull};
use tokio::sync::{mpsc, oneshot};
use ttrpc::context;

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(5);

/// The pauses between attempts: from the first, doubling, to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// How long the shim, at its end, waits for what is still under way.
const FAREWELL: Duration = Duration::from_secs(10);

/// How long somebody waits for what was published before. containerd may be away, and an end cannot wait for it.
const HEARD: Duration = ATTEMPT;

/// The sending side. Publishing never waits and never fails.
#[derive(Debug, Clone)]
pub struct Events {
    queue: mpsc::UnboundedSender<Item>,
}

/// What the queue holds.
#[derive(Debug)]
enum Item {
    Event(Box<Envelope>),
    /// Answered once containerd has everything that was published before.
    Mark(oneshot::Sender<()>),
}

/// The delivering side: ends once every [`Events`] is dropped and everything is told.
#[derive(Debug)]
pub struct Delivery(tokio::task::JoinHandle<()>);

impl Events {
    /// Starts the delivery to containerd's ttrpc address. Without one (a shim driven by hand) events are dropped.
    pub fn start(address: Option<String>) -> (Events, Delivery) {
        let (queue, events) = mpsc::unbounded_channel();
        (Events { queue }, Delivery(tokio::spawn(deliver(events, address))))
    }

    /// Queues an event of a task in this namespace, under a topic of `containerd_shim_protos::topics`.
    pub fn publish<E: MessageFull>(&self, namespace: &str, topic: &str, event: &E) {
        let mut payload = Any::new();
        payload.type_url = E::descriptor().full_name().to_owned();
        payload.value = match event.write_to_bytes() {
            Ok(bytes) => bytes,
            Err(error) => return tracing::error!(%error, topic, "an event cannot be written"),
        };
        let envelope = Envelope {
            timestamp: timestamp(SystemTime::now()),
            namespace: namespace.to_owned(),
            topic: topic.to_owned(),
            event: MessageField::some(payload),
            ..Default::default()
        };
        // The receiver ends only with the runtime itself.
        drop(self.queue.send(Item::Event(Box::new(envelope))));
    }

    /// Waits until containerd has what was published before, or for [`HEARD`].
    pub async fn heard(&self) {
        let (answer, heard) = oneshot::channel();
        drop(self.queue.send(Item::Mark(answer)));
        if tokio::time::timeout(HEARD, heard).await.is_err() {
            tracing::warn!("containerd has not heard of an event in time");
        }
    }
}

impl Delivery {
    /// Waits until all is told, or until it is clear that nobody listens any more.
    pub async fn finish(self) {
        if tokio::time::timeout(FAREWELL, self.0).await.is_err() {
            tracing::warn!("containerd is away: the last events are not delivered");
        }
    }
}

/// A protobuf timestamp.
pub fn timestamp(time: SystemTime) -> MessageField<Timestamp> {
    MessageField::some(time.into())
}

async fn deliver(mut events: mpsc::UnboundedReceiver<Item>, address: Option<String>) {
    let Some(address) = address.map(|path| format!("unix://{}", path.trim_start_matches("unix://"))) else {
        while events.recv().await.is_some() {}
        return;
    };
    let mut client = None;
    while let Some(item) = events.recv().await {
        let envelope = match item {
            Item::Event(envelope) => envelope,
            Item::Mark(answer) => {
                // Nobody waits any more: it took too long.
                let _ = answer.send(());
                continue;
            }
        };
        let mut pause = FIRST_PAUSE;
        while let Err(error) = forward(&mut client, &address, &envelope).await {
            tracing::debug!(
                error = format!("{error:#}"),
                topic = envelope.topic,
                "an event waits for containerd"
            );
            client = None;
            tokio::time::sleep(pause).await;
            pause = LAST_PAUSE.min(pause * 2);
        }
    }
}

async fn forward(client: &mut Option<EventsClient>, address: &str, envelope: &Envelope) -> Result<()> {
    let connected = match client {
        Some(connected) => connected,
        None => client.insert(EventsClient::new(Client::connect(address).await.context("cannot connect")?)),
    };
    let request = ForwardRequest { envelope: MessageField::some(envelope.clone()), ..Default::default() };
    let attempt = connected.forward(context::with_duration(ATTEMPT), &request);
    tokio::time::timeout(ATTEMPT, attempt).await.context("no answer")?.context("refused")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use containerd_shim_protos::shim_async::{Events as Receives, create_events};
    use containerd_shim_protos::topics::TASK_OOM_EVENT_TOPIC;
    use protobuf::well_known_types::empty::Empty;
    use ttrpc::asynchronous::{Server, TtrpcContext};

    use super::*;

    /// A receiver that takes its time.
    #[derive(Default)]
    struct Slow(Mutex<Vec<String>>);

    #[async_trait::async_trait]
    impl Receives for Slow {
        async fn forward(&self, _: &TtrpcContext, request: ForwardRequest) -> ttrpc::Result<Empty> {
            tokio::time::sleep(Duration::from_millis(100)).await;
            self.0.lock().unwrap().push(request.envelope.topic.clone());
            Ok(Empty::default())
        }
    }

    #[tokio::test]
    async fn an_event_that_is_waited_for_has_come_to_its_receiver() {
        let folder = tempfile::tempdir().unwrap();
        let address = format!("unix://{}", folder.path().join("events").display());
        let slow = Arc::new(Slow::default());
        let mut server = Server::new().bind(&address).unwrap().register_service(create_events(slow.clone()));
        server.start().await.unwrap();
        let (events, delivery) = Events::start(Some(address));
        events.publish("default", TASK_OOM_EVENT_TOPIC, &Empty::default());
        events.heard().await;
        assert_eq!(*slow.0.lock().unwrap(), [TASK_OOM_EVENT_TOPIC]);
        drop(events);
        delivery.finish().await;
        server.shutdown().await.unwrap();
    }

    #[tokio::test]
    async fn nobody_waits_long_for_a_receiver_that_is_away() {
        let (events, _delivery) = Events::start(Some("unix:///nonexistent/events".to_owned()));
        events.publish("default", TASK_OOM_EVENT_TOPIC, &Empty::default());
        tokio::time::timeout(Duration::from_secs(30), events.heard()).await.unwrap();
    }
}
