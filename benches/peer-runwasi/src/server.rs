//! A guest that serves HTTP, as runwasi's own Wasmtime shim serves it: HTTP/1.1, a fresh instance for each request, the address in
//! `WASMTIME_HTTP_PROXY_SOCKET_ADDR`.

use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

const ADDRESS: &str = "WASMTIME_HTTP_PROXY_SOCKET_ADDR";
const DEFAULT_ADDRESS: &str = "0.0.0.0:8080";

struct State {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: Default::default() }
    }
}

/// A server before its first request.
pub struct Server {
    proxy: ProxyPre<State>,
    env: Vec<(String, String)>,
}

impl Server {
    /// `None`: the component is no server.
    pub fn of(engine: &Engine, component: &Component, envs: &[String]) -> Result<Option<Server>> {
        let mut linker = Linker::new(engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
        let Ok(proxy) = ProxyPre::new(linker.instantiate_pre(component)?) else { return Ok(None) };
        let pairs = envs.iter().filter_map(|pair| pair.split_once('='));
        let env = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Ok(Some(Server { proxy, env }))
    }

    /// Serves until it is killed.
    pub async fn serve(self) -> Result<()> {
        let address = self.env.iter().find(|(name, _)| name == ADDRESS);
        let listener = TcpListener::bind(address.map_or(DEFAULT_ADDRESS, |(_, value)| value)).await?;
        let server = Arc::new(self);
        loop {
            let (stream, _) = listener.accept().await?;
            let server = server.clone();
            tokio::spawn(async move {
                let answer = service_fn(move |request| server.clone().answer(request));
                if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await {
                    eprintln!("a connection failed: {error}");
                }
            });
        }
    }

    async fn answer(self: Arc<Server>, request: Request<Incoming>) -> Result<Response<HyperOutgoingBody>> {
        let wasi = WasiCtxBuilder::new().envs(&self.env).build();
        let state = State { wasi, http: WasiHttpCtx::new(), table: ResourceTable::default() };
        let mut store = Store::new(self.proxy.engine(), state);
        let (sender, answered) = oneshot::channel();
        let request = store.data_mut().http().new_incoming_request(Scheme::Http, request)?;
        let out = store.data_mut().http().new_response_outparam(sender)?;
        let proxy = self.proxy.instantiate_async(&mut store).await?;
        // The guest may go on when the head of its answer is on its way.
        let guest = tokio::spawn(async move {
            proxy.wasi_http_incoming_handler().call_handle(store, request, out).await
        });
        match answered.await {
            Ok(answer) => Ok(answer?),
            Err(_) => {
                guest.await?.map_err(anyhow::Error::from).context("the guest failed")?;
                Err(anyhow!("the guest gave no answer"))
            }
        }
    }
}
