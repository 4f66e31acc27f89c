//! CRI's `Status` (`runtime.v1`, k8s.io/cri-api), with the fields that say which handlers there are.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;
use tonic::Request;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic_prost::ProstCodec;

#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
struct StatusRequest {
    #[prost(bool, tag = "1")]
    verbose: bool,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct StatusResponse {
    #[prost(btree_map = "string, string", tag = "2")]
    info: BTreeMap<String, String>,
}

/// `info["config"]`: the CRI plugin's own config, in JSON, in 1.7 and 2.x alike.
#[derive(Deserialize)]
struct Config {
    containerd: Runtimes,
}

#[derive(Deserialize)]
struct Runtimes {
    runtimes: BTreeMap<String, serde::de::IgnoredAny>,
}

/// The handlers that CRI knows.
pub async fn handlers(channel: Channel) -> Result<Vec<String>> {
    let path = PathAndQuery::from_static("/runtime.v1.RuntimeService/Status");
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.context("containerd's CRI does not answer")?;
    let codec = ProstCodec::<StatusRequest, StatusResponse>::default();
    let answer = grpc.unary(Request::new(StatusRequest { verbose: true }), path, codec).await;
    let answer = answer.context("containerd's CRI does not answer: is its plugin disabled?")?.into_inner();
    let config = answer.info.get("config").context("containerd's CRI does not tell its config")?;
    let config: Config =
        serde_json::from_str(config).context("containerd's CRI tells its config in an unknown form")?;
    Ok(config.containerd.runtimes.into_keys().collect())
}
