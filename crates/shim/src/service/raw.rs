//! Methods that no generated code serves: a payload in, a payload or an error out.

use ttrpc::{Code, Response, get_status};

use crate::error::Result;

/// The response that carries an answer.
pub fn response(answer: Result<Vec<u8>>) -> Response {
    let (status, payload) = match answer.map_err(ttrpc::Error::from) {
        Ok(payload) => (get_status(Code::OK, ""), payload),
        Err(ttrpc::Error::RpcStatus(status)) => (status, Vec::new()),
        Err(error) => (get_status(Code::UNKNOWN, error), Vec::new()),
    };
    Response { status: Some(status).into(), payload, ..Response::default() }
}
