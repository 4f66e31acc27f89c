//! The failures that `docs/conformance.md` explains: one list, for people and for this test.

const DOCS: &str = include_str!("../../../../docs/conformance.md");

/// Rows of the document's tables that begin with a program's name.
fn explained() -> Vec<&'static str> {
    let rows = DOCS.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    rows.map(|(name, _)| name).filter(|name| name.contains('/')).collect()
}

/// A sentence for each failure without an explanation, and for each explanation without a failure.
pub fn surprises<'a>(failed: &[String], tried: impl Iterator<Item = &'a str>) -> Vec<String> {
    let explained = explained();
    let unexplained = failed.iter().filter(|name| !explained.contains(&name.as_str()));
    let mut surprises: Vec<String> = unexplained
        .map(|name| format!("{name} has failed, and docs/conformance.md does not say why"))
        .collect();
    let passed = tried.filter(|name| explained.contains(name) && !failed.iter().any(|failed| failed == name));
    surprises
        .extend(passed.map(|name| format!("{name} has not failed: docs/conformance.md explains it in vain")));
    surprises
}
