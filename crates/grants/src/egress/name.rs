//! Names of hosts, as rules hold them and as guests ask for them.

use std::net::IpAddr;

/// The longest name that DNS can ask for, in text form (RFC 1035, 2.3.4).
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;

/// `text` in the one form that names are compared in: lower case, without the root's trailing dot.
///
/// Fails for everything that is not a name, above all for addresses in any spelling that a resolver takes for one
/// (`127.1`, `0x7f.1`, `2130706433`): a name rule must never open a raw address.
pub(super) fn canonical(text: &str) -> Result<String, &'static str> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if name.is_empty() {
        return Err("has no host");
    }
    if !name.is_ascii() {
        return Err("is not ASCII; write the name in its `xn--` form");
    }
    if name.len() > LONGEST_NAME {
        return Err("is longer than a name can be (253 characters)");
    }
    if name.parse::<IpAddr>().is_ok() || name.rsplit('.').next().is_some_and(is_number) {
        return Err("is not an IPv4 address, nor a name: names do not end in a number");
    }
    if !name.split('.').all(is_label) {
        return Err("is not a name: labels are 1 to 63 letters, digits, `-` or `_`");
    }
    Ok(name)
}

/// A last label that makes resolvers read the whole as an IPv4 address (WHATWG URL, "ends in a number").
fn is_number(label: &str) -> bool {
    let hexadecimal =
        label.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_hexdigit()));
    hexadecimal || (!label.is_empty() && label.bytes().all(|b| b.is_ascii_digit()))
}

fn is_label(label: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    (1..=LONGEST_LABEL).contains(&label.len())
        && label.bytes().all(inner)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// Whether `name` lies below `suffix`, both canonical: `a.example.com` below `example.com`, `example.com` not.
pub(super) fn is_below(name: &str, suffix: &str) -> bool {
    name.strip_suffix(suffix).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}
