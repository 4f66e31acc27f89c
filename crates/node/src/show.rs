//! A plan as people read it.

use std::fmt::Write;
use std::path::Path;

use similar::TextDiff;

use crate::model::{Change, Plan, State};
use crate::paths::RECORD;

/// The plan, with a diff of each file.
pub fn plan(plan: &Plan) -> String {
    if plan.is_empty() {
        return "nothing to do: the node is as it should be\n".into();
    }
    let mut text: String = plan.changes.iter().map(change).collect();
    if plan.restart {
        text.push_str("restart containerd; running pods go on\n");
    }
    text
}

fn change(change: &Change) -> String {
    let path = change.path.display();
    let mut text = match (&change.before, &change.after) {
        (_, State::Link(to)) => return format!("link {path} -> {}\n", to.display()),
        (State::Link(_), State::Absent) => return format!("remove the link {path}\n"),
        (State::Absent, State::File(_)) => format!("create {path}\n"),
        (_, State::File(_)) => format!("edit {path}\n"),
        (_, State::Absent) => format!("remove {path}\n"),
    };
    // It is long, and says what the rest says.
    if change.path != Path::new(RECORD) {
        let (before, after) =
            (change.before.text().unwrap_or_default(), change.after.text().unwrap_or_default());
        let diff = TextDiff::from_lines(before, after);
        for hunk in diff.unified_diff().context_radius(3).iter_hunks() {
            // Writing to a string cannot fail.
            let _ = write!(text, "{hunk}");
        }
    }
    text
}
