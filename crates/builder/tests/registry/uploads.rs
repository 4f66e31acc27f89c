//! Pushing over a line that breaks.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use builder::registry::{Event, Options, Platforms, Source};
use image::Digest;

use crate::daemon::Daemon;
use crate::faults::{Line, Reply, Server};
use crate::kit::{Kit, large_image, noise, options, repository, sentence};

/// Of the layer that is sent in pieces, in bytes.
const SIZE: usize = 1_000_000;

fn one_by_one() -> Options {
    Options { side_by_side: 1, ..options() }
}

/// A registry that takes one upload, as the specification has it. `answers`: whether it answers to the nth piece, after it took
/// half of it, or to the end.
fn registry(
    taken: Arc<Mutex<Vec<u8>>>,
    answers: impl Fn(&str, usize) -> bool + Send + Sync + 'static,
) -> Server {
    let done = Arc::new(Mutex::new(false));
    let pieces = AtomicUsize::new(0);
    let large = Digest::of(&noise("x", SIZE)).hex();
    Server::start(move |request, nth| {
        let mut taken = taken.lock().unwrap();
        let mut done = done.lock().unwrap();
        let here = |reply: Reply, size: usize| {
            reply
                .header("Location", "/upload?state=1")
                .header("Range", format!("0-{}", size.saturating_sub(1)))
        };
        match request.method.as_str() {
            "HEAD" if *done || !request.path.contains(&large) => Reply::new(200, ""),
            "HEAD" => Reply::new(404, ""),
            "PUT" if request.path.contains("/manifests/") => Reply::new(201, ""),
            "POST" => here(Reply::new(202, ""), taken.len()),
            "GET" => here(Reply::new(204, ""), taken.len()),
            "PATCH" => {
                let at: usize = request.headers["content-range"].split('-').next().unwrap().parse().unwrap();
                if at != taken.len() {
                    return Reply::new(416, "");
                }
                if !answers("PATCH", pieces.fetch_add(1, Ordering::SeqCst)) {
                    taken.extend(&request.body[..request.body.len() / 2]);
                    return Reply::hangs_up();
                }
                taken.extend(&request.body);
                here(Reply::new(202, ""), taken.len())
            }
            _ => {
                taken.extend(&request.body);
                assert!(request.path.ends_with(&Digest::of(&taken).hex()));
                *done = true;
                if answers("PUT", nth) { Reply::new(201, "") } else { Reply::hangs_up() }
            }
        }
    })
}

/// What the server took of the large layer of an image, whose config and module it says it has.
async fn push_one(answers: impl Fn(&str, usize) -> bool + Send + Sync + 'static) -> (Server, Vec<u8>) {
    let layout = large_image("x", SIZE);
    let taken = Arc::new(Mutex::new(Vec::new()));
    let server = registry(taken.clone(), answers);
    let kit = Kit::with(one_by_one());
    let reference = repository(&server.address, "a").tagged("1").unwrap();
    kit.client.push(&Source::layout(layout), &reference, &[]).await.unwrap();
    let taken = taken.lock().unwrap().clone();
    (server, taken)
}

#[tokio::test]
async fn a_broken_upload_goes_on_where_it_was() {
    let (server, taken) = push_one(|method, nth| method != "PATCH" || !matches!(nth, 2 | 3 | 9)).await;
    assert_eq!(taken, noise("x", SIZE));
    // It was begun once, and asked three times how far it had come.
    assert_eq!((server.count("POST", "/uploads/"), server.count("GET", "/upload")), (1, 3));
}

#[tokio::test]
async fn an_upload_whose_end_is_not_confirmed_is_not_sent_again() {
    let (server, taken) = push_one(|method, _| method != "PUT").await;
    assert_eq!(taken, noise("x", SIZE));
    assert_eq!((server.count("POST", "/uploads/"), server.count("PUT", "/upload")), (1, 1));
}

#[tokio::test]
async fn over_a_bad_line_an_image_comes_to_a_real_registry_whole() {
    let daemon = Daemon::start();
    let line = Line::start(&daemon.address, 400_000, 3);
    let kit = Kit::with(one_by_one());
    let layout = large_image("x", 1_500_000);
    let reference = repository(&line.address, "a").tagged("1").unwrap();
    kit.client.push(&Source::layout(layout.clone()), &reference, &[]).await.unwrap();
    assert_eq!(line.broken.load(Ordering::SeqCst), 3);
    assert!(kit.diary.count(|event| matches!(event, Event::Waiting { .. })) >= 3);
    let direct = repository(&daemon.address, "a").tagged("1").unwrap();
    let pulled = kit.client.pull(&direct, Platforms::Best, &kit.store).await.unwrap();
    assert_eq!(pulled.root.digest, layout.digest());
}

#[tokio::test]
async fn an_upload_that_cannot_be_finished_leaves_no_tag() {
    let daemon = Daemon::start();
    // Each connection breaks before a piece is through, so that nothing ever goes forward.
    let line = Line::start(&daemon.address, 40_000, usize::MAX);
    let kit = Kit::with(one_by_one());
    let reference = repository(&line.address, "a").tagged("1").unwrap();
    let source = Source::layout(large_image("x", 1_000_000));
    let error = sentence(kit.client.push(&source, &reference, &[]).await.unwrap_err());
    assert!(error.contains("lost the connection again and again while the push of the blob"), "{error}");
    let direct = repository(&daemon.address, "a").tagged("1").unwrap();
    assert_eq!(kit.client.digest_of(&direct).await.unwrap(), None);
}
