//! Paths inside a container, compared and joined as text: absolute, without `.`, `..` and doubled slashes.

/// `path` in that form. `..` is refused rather than resolved: what it means depends on symlinks that are not known here.
pub(crate) fn normalise(path: &str) -> Result<String, &'static str> {
    if !path.starts_with('/') {
        return Err("is not absolute");
    }
    if path.contains('\0') {
        return Err("has a NUL byte");
    }
    let mut out = String::with_capacity(path.len());
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => return Err("contains `..`"),
            part => {
                out.push('/');
                out.push_str(part);
            }
        }
    }
    if out.is_empty() {
        out.push('/');
    }
    Ok(out)
}

/// Whether `path` is `base` or lies below it; both normalised.
pub(crate) fn is_at_or_below(path: &str, base: &str) -> bool {
    path.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
