//! CRI, called as a kubelet calls it.

mod messages;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use containerd_client::connect;
use prost::Message;
use tokio::runtime::Runtime;
use tonic::Request;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic_prost::ProstCodec;

pub use messages::*;

/// How long an answer may take: the longest compiles a large component on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// The two services of CRI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    Runtime,
    Image,
}

impl Service {
    fn name(self) -> &'static str {
        match self {
            Service::Runtime => "RuntimeService",
            Service::Image => "ImageService",
        }
    }
}

/// A client of one containerd's CRI, which may end and come back between two calls.
#[derive(Debug)]
pub struct Cri {
    socket: PathBuf,
    tokio: Runtime,
}

impl Cri {
    /// `socket`: containerd's, as the caller sees it.
    pub fn new(socket: PathBuf) -> Result<Cri> {
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Cri { socket, tokio })
    }

    /// Calls a method. An error is the status that was answered.
    pub fn call<Q, A>(&self, service: Service, method: &str, request: Q) -> Result<A>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let path = format!("/runtime.v1.{}/{method}", service.name());
        let path = PathAndQuery::try_from(path).context("the method's name is no path")?;
        let mut request = Request::new(request);
        request.set_timeout(PATIENCE);
        self.tokio.block_on(async {
            let channel = connect(&self.socket).await;
            let mut grpc = Grpc::new(channel.context("cannot reach containerd's CRI")?);
            grpc.ready().await?;
            let answer = grpc.unary(request, path, ProstCodec::<Q, A>::default()).await;
            let refused =
                |status: tonic::Status| anyhow::anyhow!("{:?}: {}", status.code(), status.message());
            Ok(answer.map_err(refused)?.into_inner())
        })
    }

    /// Calls a method of the runtime whose request is an id.
    pub fn about<A: Message + Default + Send + Sync + 'static>(&self, method: &str, id: &str) -> Result<A> {
        self.call(Service::Runtime, method, Id { id: id.to_owned() })
    }
}

/// The sentence with which a call was refused.
pub fn refusal<T>(answer: Result<T>) -> Result<String> {
    match answer {
        Ok(_) => anyhow::bail!("this was not refused"),
        Err(error) => Ok(format!("{error:#}")),
    }
}
