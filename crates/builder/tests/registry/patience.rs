//! A registry that is busy, and a line that is bad, are borne with.

use std::time::{Duration, Instant};

use builder::registry::{Event, Options, Patience, Platforms, Reference, RegistryError};
use image::{Descriptor, Digest};

use crate::faults::{Reply, Server};
use crate::kit::{Kit, noise, options, repository, sentence};

fn waits(kit: &Kit) -> usize {
    kit.diary.count(|event| matches!(event, Event::Waiting { .. }))
}

fn blob(bytes: &[u8]) -> Descriptor {
    let (digest, size) = (Digest::of(bytes), bytes.len() as u64);
    Descriptor { media_type: String::new(), digest, size, annotations: Default::default() }
}

fn listing(server: &Server) -> builder::registry::Repository {
    repository(&server.address, "a")
}

#[tokio::test]
async fn every_answer_that_means_later_is_asked_again() {
    for status in [408, 429, 500, 502, 503, 504] {
        let server = Server::start(move |_, nth| match nth {
            0 | 1 => Reply::new(status, ""),
            _ => Reply::new(200, r#"{"tags": ["a"]}"#),
        });
        let kit = Kit::new();
        assert_eq!(kit.client.tags(&listing(&server)).await.unwrap(), ["a"]);
        assert_eq!((server.requests().len(), waits(&kit)), (3, 2), "{status}");
    }
}

#[tokio::test]
async fn retry_after_is_honoured() {
    let server = Server::start(|_, nth| match nth {
        0 => Reply::new(429, "").header("Retry-After", "1"),
        _ => Reply::new(200, r#"{"tags": []}"#),
    });
    let begin = Instant::now();
    Kit::new().client.tags(&listing(&server)).await.unwrap();
    assert!(begin.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_wait_of_an_hour_is_told_and_not_waited_for() {
    let server = Server::start(|_, _| Reply::new(429, "").header("Retry-After", "3600"));
    let error = Kit::new().client.tags(&listing(&server)).await.unwrap_err();
    assert!(matches!(error, RegistryError::Busy { seconds: 3600, .. }));
    assert!(sentence(error).contains("asks to wait 3600 s"));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn there_is_an_end_to_patience() {
    let server =
        Server::start(|_, _| Reply::new(503, r#"{"errors": [{"code": "UNAVAILABLE", "message": "later"}]}"#));
    let error = sentence(Kit::new().client.tags(&listing(&server)).await.unwrap_err());
    assert!(
        error.contains("answers 503 to the tags of") && error.contains("(UNAVAILABLE: later)"),
        "{error}"
    );
    assert_eq!(server.requests().len(), 5);
}

#[tokio::test]
async fn what_is_wrong_is_not_asked_again() {
    for status in [400, 404, 410, 418, 501] {
        let server = Server::start(move |_, _| Reply::new(status, ""));
        Kit::new().client.tags(&listing(&server)).await.unwrap_err();
        assert_eq!(server.requests().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn who_is_not_there_is_told() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = repository(&address.to_string(), "a");
    let error = sentence(Kit::new().client.tags(&nobody).await.unwrap_err());
    assert!(error.contains(&format!("{address} cannot be reached: Connection refused")), "{error}");
}

#[tokio::test]
async fn a_stall_is_the_loss_of_the_connection() {
    let bytes = noise("x", 100_000);
    let copy = bytes.clone();
    let server = Server::start(move |_, _| Reply::new(200, copy.clone()).stalling_after(0));
    let patience = Patience { attempts: 2, stall: Duration::from_millis(400), ..options().patience };
    let kit = Kit::with(Options { patience, ..options() });
    let begin = Instant::now();
    let error = kit.client.blob(&listing(&server), &blob(&bytes), &kit.store).await.unwrap_err();
    assert!(sentence(error).contains("nothing moved for 0.4 s"));
    assert!(begin.elapsed() < Duration::from_secs(20));
    assert!(kit.cached().is_empty());
    let mute = Server::start(|_, _| {
        std::thread::sleep(Duration::from_secs(2));
        Reply::new(200, "")
    });
    let error = kit.client.tags(&listing(&mute)).await.unwrap_err();
    assert!(sentence(error).contains("nothing moved"));
}

#[tokio::test]
async fn a_download_that_is_cut_goes_on_where_it_was() {
    let bytes = noise("x", 1_000_000);
    let copy = bytes.clone();
    let server = Server::start(move |request, nth| {
        let range = request.headers.get("range");
        let from: usize = range.map_or(0, |r| r["bytes=".len()..].trim_end_matches('-').parse().unwrap());
        let rest = copy[from..].to_vec();
        let reply = match from {
            0 => Reply::new(200, rest),
            from => Reply::new(206, rest)
                .header("Content-Range", format!("bytes {from}-{}/{}", copy.len() - 1, copy.len())),
        };
        // Cut, then stalled, then whole.
        match nth {
            0 => reply.cut_after(300_000),
            1 => reply.stalling_after(300_000),
            _ => reply,
        }
    });
    let patience = Patience { stall: Duration::from_secs(2), ..options().patience };
    let kit = Kit::with(Options { patience, ..options() });
    kit.client.blob(&listing(&server), &blob(&bytes), &kit.store).await.unwrap();
    assert_eq!(kit.store.read(&blob(&bytes), 1 << 20).unwrap(), bytes);
    let ranges: Vec<_> = server.requests().iter().map(|r| r.headers.get("range").cloned()).collect();
    assert_eq!(ranges.len(), 3);
    assert_eq!(ranges[0], None);
    assert!(
        ranges[1..].iter().all(|range| range.as_ref().is_some_and(|range| range != "bytes=0-")),
        "{ranges:?}"
    );
}

#[tokio::test]
async fn where_ranges_are_not_known_a_download_begins_anew() {
    let bytes = noise("x", 200_000);
    let copy = bytes.clone();
    let server = Server::start(move |_, nth| match nth {
        0 => Reply::new(200, copy.clone()).cut_after(150_000),
        _ => Reply::new(200, copy.clone()),
    });
    let kit = Kit::new();
    kit.client.blob(&listing(&server), &blob(&bytes), &kit.store).await.unwrap();
    assert_eq!(kit.store.read(&blob(&bytes), 1 << 20).unwrap(), bytes);
}

#[tokio::test]
async fn a_range_that_was_not_asked_for_is_not_taken() {
    let bytes = noise("x", 200_000);
    let copy = bytes.clone();
    let server = Server::start(move |_, nth| match nth {
        0 => Reply::new(200, copy.clone()).cut_after(100_000),
        1 => Reply::new(206, copy[50_000..].to_vec()).header("Content-Range", "bytes 50000-199999/200000"),
        _ => Reply::new(200, copy.clone()),
    });
    let kit = Kit::new();
    kit.client.blob(&listing(&server), &blob(&bytes), &kit.store).await.unwrap();
    assert_eq!(kit.store.read(&blob(&bytes), 1 << 20).unwrap(), bytes);
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn whoever_begins_anew_for_ever_is_given_up() {
    let bytes = noise("x", 3 << 20);
    let copy = bytes.clone();
    let server = Server::start(move |_, _| Reply::new(200, copy.clone()).cut_after(2 << 20));
    let kit = Kit::new();
    let error = kit.client.blob(&listing(&server), &blob(&bytes), &kit.store).await.unwrap_err();
    assert!(sentence(error).contains("again and again"));
    assert!(server.requests().len() <= 8, "{}", server.requests().len());
    assert!(kit.cached().is_empty());
}

#[tokio::test]
async fn a_pull_that_is_given_up_half_way_leaves_no_draft() {
    let bytes = noise("x", 1 << 20);
    let copy = bytes.clone();
    let server = Server::start(move |_, _| Reply::new(200, copy.clone()).stalling_after(1 << 19));
    let patience = Patience { stall: Duration::from_secs(60), ..options().patience };
    let kit = Kit::with(Options { patience, ..options() });
    let half = async {
        let is_half = |event: &Event| matches!(event, Event::Advanced { done, .. } if *done > 0);
        while kit.diary.count(is_half) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(kit.cached().len(), 1);
    };
    let (repository, descriptor) = (listing(&server), blob(&bytes));
    tokio::select! {
        done = kit.client.blob(&repository, &descriptor, &kit.store) => panic!("it ended: {done:?}"),
        () = half => {}
    }
    assert!(kit.cached().is_empty());
}

#[tokio::test]
async fn a_cache_that_cannot_be_written_is_told_with_the_path() {
    let bytes = noise("x", 100);
    let copy = bytes.clone();
    let server = Server::start(move |_, _| Reply::new(200, copy.clone()));
    let kit = Kit::new();
    let folder = kit.store.root().join("blobs/sha256");
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::write(&folder, "in the way").unwrap();
    let error = kit.client.blob(&listing(&server), &blob(&bytes), &kit.store).await.unwrap_err();
    assert!(sentence(error).contains("blobs/sha256"));
    let reference: Reference = format!("{}/a:1", server.address).parse().unwrap();
    kit.client.pull(&reference, Platforms::Best, &kit.store).await.unwrap_err();
}
