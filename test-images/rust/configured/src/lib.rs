//! A server that answers with what wasi:config has of the key in the path.

wit_bindgen::generate!({ path: "../wit/config.wit" });

use wasi::config::store;
use wasip2::exports::http::incoming_handler::Guest as Handler;
use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

struct Server;

wasip2::http::proxy::export!(Server);

impl Handler for Server {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let value = store::get(path.trim_start_matches('/')).expect("the host has a configuration");
        let response = OutgoingResponse::new(Fields::new());
        let body = response.body().expect("a fresh response");
        ResponseOutparam::set(out, Ok(response));
        let stream = body.write().expect("a fresh body");
        let _vanished = stream.blocking_write_and_flush(value.unwrap_or_default().as_bytes());
        drop(stream);
        let _vanished = OutgoingBody::finish(body, None);
    }
}
