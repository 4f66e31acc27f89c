//! What servers ask of others.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use testkit::Nest;

use crate::BOTH;
use testkit::http::{get, read_head};

/// Answers every request on every connection with an empty body; its address, and how many connections it has had.
fn answerer(nest: &Nest) -> anyhow::Result<(String, Arc<AtomicU32>)> {
    let listener = nest.in_network(|| TcpListener::bind("127.0.0.1:0"))??;
    let (address, connections) = (listener.local_addr()?.to_string(), Arc::new(AtomicU32::new(0)));
    let counted = connections.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            counted.fetch_add(1, Ordering::SeqCst);
            std::thread::spawn(move || answer_all(stream));
        }
    });
    Ok((address, connections))
}

fn answer_all(mut stream: TcpStream) -> anyhow::Result<()> {
    loop {
        read_head(&mut stream)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
    }
}

testkit::stories! {
    fn instances_of_a_container_use_its_connections_again_and_another_container_does_not(daemon) {
        for file in BOTH {
            let (address, connections) = answerer(daemon.nest())?;
            for so_far in 0..2 {
                let mut server =
                    daemon.run(file).host_network().annotation("run.wasm/egress", &address).spawn()?;
                for _ in 0..10 {
                    assert_eq!(get(daemon.nest(), &format!("/get/{address}"))?.body, "status 200\n");
                }
                let made = connections.swap(0, Ordering::SeqCst);
                assert!((1..=3).contains(&made), "{file}: {made} connections for 10 requests ({so_far})");
                server.kill("SIGTERM")?;
                assert_eq!(server.outcome()?.code, 0);
            }
        }
    }
}
