//! A line of the log: one event, in logfmt or JSON, with the container that it is about.

use std::collections::{HashMap, VecDeque};
use std::fmt::{self, Debug, Write};
use std::sync::{LazyLock, Mutex, PoisonError};

use grants::policy::LogFormat;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::subject::{Subject, current};

/// How many lines of each container are kept for who asks later, and how long they are, in bytes.
const KEPT: usize = 16;
const LONGEST: usize = 512;

/// The last lines about each container that there is, by namespace and id.
type Recent = HashMap<(String, String), VecDeque<String>>;

static RECENT: LazyLock<Mutex<Recent>> = LazyLock::new(Mutex::default);

/// Writes lines.
#[derive(Debug, Clone, Copy)]
pub struct Lines(pub LogFormat);

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let subject = current();
        let mut fields = Fields::default();
        event.record(&mut fields);
        let line = line(self.0, &time, *event.metadata().level(), subject.as_deref(), fields);
        if let Some(subject) = &subject {
            keep(subject, &line);
        }
        writeln!(writer, "{line}")
    }
}

/// What an event says, in its order.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, Value)>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: impl Into<Value>) {
        self.others.push((field.name(), value.into()));
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            _ => self.add(field, format!("{value:?}")),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }
}

fn line(format: LogFormat, time: &str, level: Level, subject: Option<&Subject>, fields: Fields) -> String {
    let level = level.as_str().to_ascii_lowercase();
    let level = if level == "warn" { "warning".to_owned() } else { level };
    let mut all: Vec<(&str, Value)> =
        vec![("time", time.into()), ("level", level.into()), ("msg", fields.message.into())];
    if let Some(subject) = subject {
        all.push(("namespace", subject.namespace.as_str().into()));
        all.extend(subject.pod().map(|pod| ("pod", pod.into())));
        all.push(("container", subject.container.as_str().into()));
    }
    all.extend(fields.others);
    match format {
        LogFormat::Json => {
            let object: Map<String, Value> =
                all.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
            Value::Object(object).to_string()
        }
        LogFormat::Logfmt => {
            let pairs: Vec<String> =
                all.iter().map(|(key, value)| format!("{key}={}", word(value))).collect();
            pairs.join(" ")
        }
    }
}

/// A value as logfmt has it: in quotes where it is not one plain word. No value can end its line, or steer a terminal.
fn word(value: &Value) -> String {
    let Value::String(text) = value else { return value.to_string() };
    let plain = |char: char| char.is_ascii_graphic() && !matches!(char, '"' | '=' | '\\');
    if !text.is_empty() && text.chars().all(plain) {
        return text.clone();
    }
    let mut quoted = String::from("\"");
    for char in text.chars() {
        match char {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            // To write to a string cannot fail.
            char if char.is_control() => drop(write!(quoted, "\\u{:04x}", u32::from(char))),
            char => quoted.push(char),
        }
    }
    quoted.push('"');
    quoted
}

fn keep(subject: &Subject, line: &str) {
    let mut recent = RECENT.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (subject.namespace.clone(), subject.container.clone());
    let lines = recent.entry(key).or_default();
    if lines.len() == KEPT {
        lines.pop_front();
    }
    lines.push_back(line.get(..line.floor_char_boundary(LONGEST)).unwrap_or_default().to_owned());
}

/// The last lines about a container, oldest first.
pub fn of_container(namespace: &str, container: &str) -> Vec<String> {
    let recent = RECENT.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (namespace.to_owned(), container.to_owned());
    let lines = recent.get(&key);
    lines.into_iter().flatten().cloned().collect()
}

/// Forgets the lines about a container that is gone.
pub fn forget(namespace: &str, container: &str) {
    let mut recent = RECENT.lock().unwrap_or_else(PoisonError::into_inner);
    recent.remove(&(namespace.to_owned(), container.to_owned()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(message: &str, others: Vec<(&'static str, Value)>) -> Fields {
        Fields { message: message.to_owned(), others }
    }

    #[test]
    fn a_line_of_logfmt_has_pod_and_container_and_cannot_be_forged() {
        let subject = Subject::new("k8s.io", "c1");
        let others = vec![("code", 134.into()), ("reason", "a \"b\"\nlevel=error \u{1b}[2J \\".into())];
        let line = line(LogFormat::Logfmt, "T", Level::WARN, Some(&subject), fields("ended", others));
        assert_eq!(
            line,
            r#"time=T level=warning msg=ended namespace=k8s.io container=c1 code=134 reason="a \"b\"\nlevel=error \u001b[2J \\""#
        );
    }

    #[test]
    fn a_line_of_json_is_an_object() {
        let others = vec![("oom", true.into()), ("reason", "".into())];
        let line = line(LogFormat::Json, "T", Level::INFO, None, fields("it \"ended\"", others));
        let object: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((object["level"].as_str(), object["msg"].as_str()), (Some("info"), Some("it \"ended\"")));
        assert_eq!((object["oom"].as_bool(), object["container"].as_str()), (Some(true), None));
    }

    #[test]
    fn of_each_container_the_last_lines_are_kept_until_it_is_gone() {
        let subject = Subject::new("kept", "c1");
        (0..40).for_each(|number| keep(&subject, &format!("line {number}")));
        keep(&subject, &"ä".repeat(LONGEST));
        let lines = of_container("kept", "c1");
        assert_eq!((lines.len(), lines.first().map(String::as_str)), (KEPT, Some("line 25")));
        assert!(lines.iter().all(|line| line.len() <= LONGEST));
        assert!(of_container("kept", "c2").is_empty() && of_container("other", "c1").is_empty());
        forget("kept", "c1");
        assert!(of_container("kept", "c1").is_empty());
    }
}
