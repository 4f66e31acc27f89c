//! What `run-wasm debug` asks a shim, on the socket of its task service: what only the shim knows of a container.
//!
//! One method, whose request is a container's id and whose answer is JSON, each in a protobuf `StringValue`.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use protobuf::Message;
use protobuf::well_known_types::wrappers::StringValue;
use serde_json::json;
use ttrpc::asynchronous::{MethodHandler, TtrpcContext};
use ttrpc::{Request, Response};

use super::Service;
use super::raw::response;
use crate::error::Result;
use crate::observe;
use crate::task::Work;

const SERVICE: &str = "run.wasm.v1.Diagnosis";
const METHOD: &str = "Describe";

struct Describe(Arc<Service>);

/// The method of the service.
pub fn methods(service: Arc<Service>) -> HashMap<String, ttrpc::asynchronous::Service> {
    let describe: Box<dyn MethodHandler + Send + Sync> = Box::new(Describe(service));
    let methods = [(METHOD.to_owned(), describe)].into();
    [(SERVICE.to_owned(), ttrpc::asynchronous::Service { methods, streams: HashMap::new() })].into()
}

impl Describe {
    fn describe(&self, call: &TtrpcContext, request: &Request) -> Result<Vec<u8>> {
        let id = StringValue::parse_from_bytes(&request.payload).map_err(anyhow::Error::from)?.value;
        let task = self.0.find(call, &id)?;
        let denied = match &task.work {
            Work::Sandbox | Work::Native(_) => HashMap::new(),
            Work::Container(container) => container.denied(),
        };
        let lines = observe::of_container(&task.namespace, &task.id);
        let value = json!({ "lines": lines, "denied": denied }).to_string();
        let answer = StringValue { value, ..StringValue::default() };
        Ok(answer.write_to_bytes().map_err(anyhow::Error::from)?)
    }
}

#[async_trait]
impl MethodHandler for Describe {
    async fn handler(&self, call: TtrpcContext, request: Request) -> ttrpc::Result<Response> {
        Ok(response(self.describe(&call, &request)))
    }
}
