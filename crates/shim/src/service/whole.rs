//! Calls that are done whole. ttrpc drops a handler in the middle when its connection breaks, as it does when containerd is
//! killed: a container would be half made, half removed, and its id taken for ever.

use std::sync::Arc;

use async_trait::async_trait;
use ttrpc::asynchronous::{MethodHandler, Service, TtrpcContext};
use ttrpc::{Code, Request, Response};

type Handler = Box<dyn MethodHandler + Send + Sync>;

/// Calls that are not: those that only wait for something else are given up with their connection, and a shim that was asked to
/// end must not end before it has answered.
const NOT_WHOLE: [&str; 2] = ["Wait", "Shutdown"];

/// Has the calls of a service go on to their ends, whoever still wants their answers.
pub fn whole(mut service: Service) -> Service {
    service.methods = service
        .methods
        .into_iter()
        .map(|(name, handler)| match NOT_WHOLE.iter().any(|start| name.starts_with(start)) {
            true => (name, handler),
            false => (name, Box::new(Whole(Arc::new(handler))) as Handler),
        })
        .collect();
    service
}

struct Whole(Arc<Handler>);

#[async_trait]
impl MethodHandler for Whole {
    async fn handler(&self, context: TtrpcContext, request: Request) -> ttrpc::Result<Response> {
        let handler = self.0.clone();
        let call = tokio::spawn(async move { handler.handler(context, request).await });
        call.await.unwrap_or_else(|error| {
            Err(ttrpc::Error::RpcStatus(ttrpc::get_status(
                Code::INTERNAL,
                format!("the call failed: {error}"),
            )))
        })
    }
}
