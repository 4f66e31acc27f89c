//! The grants of a container as a table for people. Text of the pod is escaped: it cannot forge a line of the log.

use std::fmt::Display;

use crate::error::shown;
use crate::grants::Grants;
use crate::http;
use crate::limits::Cpu;
use crate::mounts::{DropReason, Volume, VolumeSource};
use crate::units::ByteSize;

/// What is given, one line a grant, and what the spec mounts and the guest does not get.
pub(crate) fn print(grants: &Grants) -> String {
    let print = |(name, value): &(&str, String)| format!("{name:<11}{value}\n");
    rows(grants).0.iter().chain(&not_given(grants).0).map(print).collect()
}

/// What is given in one line, for a log. A `|` of the pod's own is escaped: it cannot forge a grant.
pub(crate) fn line(grants: &Grants) -> String {
    let rows = rows(grants).0.into_iter();
    let cells: Vec<String> =
        rows.map(|(name, value)| format!("{name} {}", value.replace('|', "\\u{7c}"))).collect();
    cells.join(" | ")
}

fn not_given(grants: &Grants) -> Table {
    let mut table = Table::default();
    for dropped in grants.dropped() {
        table.row(
            "not given",
            format!("{}: {}", shown(&dropped.destination.to_string_lossy()), reason(dropped.reason)),
        );
    }
    table
}

fn rows(grants: &Grants) -> Table {
    let mut table = Table::default();
    table.row("entry", entry(grants));
    if !grants.plugs().is_empty() {
        table.row("plugs", list(grants.plugs().iter().map(|plug| shown(&plug.to_string_lossy())), ", "));
    }
    table.row("args", args(grants.args()));
    table.row("env", list(grants.env().iter().map(|(name, _)| shown(name)), ", "));
    table.row("cwd", shown(grants.cwd()));
    table.row("user", user(grants));
    table.row("terminal", if grants.terminal() { "yes" } else { "no" });
    table.row("/", if grants.root().readonly { "read-only" } else { "read-write" });
    for volume in grants.volumes() {
        table.row("volume", describe(volume));
    }
    table.row("egress", closed_or(grants.egress().is_closed(), list(grants.egress().rules(), ", ")));
    table.row("listen", closed_or(grants.listen().is_closed(), list(grants.listen().ports(), ", ")));
    table.row("http", http(grants));
    table.row(
        "memory",
        grants.memory_limit().map_or("no limit".to_owned(), |bytes| ByteSize(bytes).to_string()),
    );
    table.row("cpu", cpu(grants.cpu()));
    table.row("open files", grants.open_files());
    let unlimited = || "no limit".to_owned();
    table.row("timeout", grants.timeout().map_or_else(unlimited, |timeout| format!("{timeout:?}")));
    table.row("fuel", grants.fuel().map_or_else(unlimited, |units| format!("{units} units")));
    table.row("mode", grants.mode());
    table.row("profile", grants.profile());
    table.row("clock", grants.clock());
    table.row("random", grants.random());
    if let Some(dump) = grants.coredump() {
        table.row("core dump", format!("{}, at most {}", shown(&dump.path), ByteSize(dump.max_bytes)));
    }
    table
}

/// Names and values.
#[derive(Default)]
struct Table(Vec<(&'static str, String)>);

impl Table {
    fn row(&mut self, name: &'static str, value: impl Display) {
        self.0.push((name, value.to_string()));
    }
}

/// The first alone: kubelet expands `$(NAME)` of the environment in the others, and so they may be secrets.
fn args(args: &[String]) -> String {
    match args {
        [] => "none".to_owned(),
        [one] => format!("`{}`", shown(one)),
        [first, more @ ..] => format!("`{}` and {} more", shown(first), more.len()),
    }
}

fn list<T: Display>(items: impl IntoIterator<Item = T>, separator: &str) -> String {
    const MOST: usize = 32;
    let all: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    let shown: Vec<&str> = all.iter().take(MOST).map(String::as_str).collect();
    match all.len() {
        0 => "none".to_owned(),
        count if count > MOST => format!("{}{separator}and {} more", shown.join(separator), count - MOST),
        _ => shown.join(separator),
    }
}

fn closed_or(is_closed: bool, open: String) -> String {
    if is_closed { "closed".to_owned() } else { open }
}

/// Of use to Wasm that serves. What its pod does not say is left out: the line of the log has an end.
fn http(grants: &Grants) -> String {
    let http = grants.http();
    let mut said = format!("port {} if it serves", http.port);
    if http.max_instances != http::DEFAULT_INSTANCES {
        said += &format!(", at most {} instances", http.max_instances);
    }
    if http.timeout != http::DEFAULT_TIMEOUT {
        said += &format!(", answers begin within {:?}", http.timeout);
    }
    let counts = [(http.reuse, "requests an instance"), (http.concurrency, "of them at once")];
    for (count, of_what) in counts.into_iter().filter_map(|(count, what)| count.map(|count| (count, what))) {
        said += &format!(", {count} {of_what}");
    }
    if let Some(bytes) = http.max_body {
        said += &format!(", bodies of at most {}", ByteSize(bytes));
    }
    said
}

fn entry(grants: &Grants) -> String {
    let path = grants.entry().path.to_string_lossy();
    let path = if path.is_empty() { "the image's own".to_owned() } else { shown(&path) };
    match &grants.entry().function {
        Some(function) => format!("{path}, function {}", shown(function)),
        None => path,
    }
}

fn user(grants: &Grants) -> String {
    let user = grants.user();
    let groups = if user.additional_gids.is_empty() {
        String::new()
    } else {
        format!(", groups {}", list(&user.additional_gids, " "))
    };
    format!("{}:{}{groups}, umask {:03o}", user.uid, user.gid, user.umask)
}

fn describe(volume: &Volume) -> String {
    let access = if volume.readonly { "read-only" } else { "read-write" };
    let source = match &volume.source {
        VolumeSource::Bind { path, .. } => shown(&path.to_string_lossy()),
        VolumeSource::Tmpfs(tmpfs) => match tmpfs.size {
            Some(size) => format!("memory, at most {}", ByteSize(size)),
            None => "memory".to_owned(),
        },
    };
    format!("{} {access}, from {source}", shown(&volume.destination.to_string_lossy()))
}

fn reason(reason: DropReason) -> &'static str {
    match reason {
        DropReason::Kernel => "a view of the kernel",
        DropReason::Device => "devices are of no use to Wasm",
        DropReason::DefaultRun => "nobody asked for it",
        DropReason::RuntimeReads => "read by the runtime",
        DropReason::RuntimeWrites => "written by the runtime",
    }
}

fn cpu(cpu: Cpu) -> String {
    let quota = cpu.quota.map_or("no limit".to_owned(), |quota| format!("{quota} µs in {} µs", cpu.period));
    format!("{quota}, weight {}", cpu.shares)
}
