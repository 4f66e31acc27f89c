//! Published ports: connections to this machine's loopback, carried on to the guest in its own network.

use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// How long a guest may take to listen at a port that somebody has come to.
const PATIENCE: Duration = Duration::from_secs(10);

/// Listens at a port of the loopback.
pub fn listen(port: u16) -> Result<OwnedFd> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).with_context(|| {
        format!(
            "cannot listen at 127.0.0.1:{port}: publish another port as {port}'s stand-in, -p OTHER:{port}"
        )
    })?;
    listener.set_nonblocking(true)?;
    Ok(listener.into())
}

/// Takes connections while `open` says so, and carries them to `port`. Others may take from the same listener. Returns when
/// `open` is false again and all of them have ended, or when it is gone.
pub async fn forward(listener: OwnedFd, port: u16, mut open: watch::Receiver<bool>) -> Result<()> {
    let listener = TcpListener::from_std(listener.into())?;
    let mut connections = JoinSet::new();
    if open.wait_for(|open| *open).await.map(drop).is_ok() {
        loop {
            tokio::select! {
                () = closed(&mut open) => break,
                accepted = listener.accept() => match accepted {
                    Ok((client, _)) => drop(connections.spawn(carry(client, port))),
                    // It hung up already, or there are no descriptors for it now.
                    Err(_) => sleep(Duration::from_millis(10)).await,
                },
            }
            while connections.try_join_next().is_some() {}
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
    Ok(())
}

async fn closed(open: &mut watch::Receiver<bool>) {
    // Who would open it again is gone.
    drop(open.wait_for(|open| !*open).await.map(drop));
}

async fn carry(mut client: TcpStream, port: u16) {
    let deadline = Instant::now() + PATIENCE;
    let mut guest = loop {
        match TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
            Ok(guest) => break guest,
            // Nobody listens: the client hears so by the end of its connection.
            Err(_) if Instant::now() > deadline => return,
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    };
    drop((client.set_nodelay(true), guest.set_nodelay(true)));
    drop(tokio::io::copy_bidirectional(&mut client, &mut guest).await);
}
