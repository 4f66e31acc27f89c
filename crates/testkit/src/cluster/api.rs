//! Calls of the API server, by a socket of `kubectl proxy`.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";

/// The API server of a cluster, with the rights of its admin.
#[derive(Debug, Clone)]
pub struct Api {
    socket: PathBuf,
}

impl Api {
    pub(super) fn new(socket: PathBuf) -> Api {
        Api { socket }
    }

    /// An object, or a list of them; `None` where there is none.
    pub fn get(&self, path: &str) -> Result<Option<Value>> {
        match self.call("GET", path, JSON, None)? {
            (404, _) => Ok(None),
            answer => object(path, answer).map(Some),
        }
    }

    /// What is there, as it is: a log, a page of metrics.
    pub fn text(&self, path: &str) -> Result<String> {
        match self.call("GET", path, JSON, None)? {
            (200, body) => Ok(body),
            (status, body) => bail!("{path}: {status}: {body}"),
        }
    }

    /// Makes an object; the server knows its kind by the path.
    pub fn post(&self, path: &str, object_: &Value) -> Result<Value> {
        object(path, self.call("POST", path, JSON, Some(object_))?)
    }

    /// Changes an object (RFC 7396).
    pub fn patch(&self, path: &str, change: &Value) -> Result<Value> {
        object(path, self.call("PATCH", path, MERGE, Some(change))?)
    }

    pub fn delete(&self, path: &str) -> Result<()> {
        object(path, self.call("DELETE", path, JSON, None)?).map(drop)
    }

    /// By HTTP/1.0: the answer ends with the connection.
    fn call(&self, method: &str, path: &str, kind: &str, body: Option<&Value>) -> Result<(u16, String)> {
        let mut stream = UnixStream::connect(&self.socket).context("the API server's socket")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let body = body.map(Value::to_string).unwrap_or_default();
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).with_context(|| format!("{method} {path}"))?;
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").with_context(|| format!("{path}: no answer"))?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Ok((status.with_context(|| format!("{path}: no status: {head}"))?, body.to_owned()))
    }
}

/// The object of an answer, or the server's reason for which there is none.
fn object(path: &str, (status, body): (u16, String)) -> Result<Value> {
    let value: Value = serde_json::from_str(&body).with_context(|| format!("{path}: {status}: {body}"))?;
    if status >= 300 {
        let reason = value.pointer("/message").and_then(Value::as_str).unwrap_or(&body);
        bail!("{path}: {status}: {reason}");
    }
    Ok(value)
}
