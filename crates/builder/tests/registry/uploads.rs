//! Pushing over a line that breaks.

use builder::registry::{Event, Options, Source};

use crate::daemon::Daemon;
use crate::faults::Line;
use crate::kit::{Kit, large_image, options, repository, sentence};

fn one_by_one() -> Options {
    Options { side_by_side: 1, ..options() }
}

#[tokio::test]
async fn a_broken_upload_goes_on_where_it_was() {
    let daemon = Daemon::start();
    let line = Line::start(&daemon.address, 400_000, 3);
    let kit = Kit::with(one_by_one());
    let layout = large_image("x", 1_500_000);
    let reference = repository(&line.address, "a").tagged("1").unwrap();
    kit.client.push(&Source::layout(layout.clone()), &reference, &[]).await.unwrap();
    assert_eq!(line.broken.load(std::sync::atomic::Ordering::SeqCst), 3);
    assert!(kit.diary.count(|event| matches!(event, Event::Waiting { .. })) >= 3);
    // An upload that had begun anew would have left the one before.
    assert_eq!(daemon.unfinished_uploads(), 0);
    let direct = repository(&daemon.address, "a").tagged("1").unwrap();
    let pulled = kit.client.pull(&direct, builder::registry::Platforms::Best, &kit.store).await.unwrap();
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
