//! Components that need each other in a circle can not be instantiated one after the other.

use std::collections::{BTreeMap, BTreeSet};

use super::{ComposeError, Link};

/// The names in an order in which each stands after those that it needs, beginning from `root`.
///
/// # Errors
/// [`ComposeError::Cycle`] with the circle.
pub fn order<'a>(root: &'a str, links: &'a [Link]) -> Result<Vec<&'a str>, ComposeError> {
    let mut needs: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for link in links {
        needs.entry(link.to.as_str()).or_default().insert(link.from.as_str());
    }
    let (mut order, mut done, mut path) = (Vec::new(), BTreeSet::new(), vec![root]);
    while let Some(&name) = path.last() {
        let next = needs.get(name).into_iter().flatten().find(|need| !done.contains(*need));
        match next {
            Some(need) if path.contains(need) => return Err(circle(&path, need)),
            Some(need) => path.push(need),
            None => {
                path.pop();
                done.insert(name);
                order.push(name);
            }
        }
    }
    Ok(order)
}

/// The same for those who need no order.
pub fn refuse(root: &str, links: &[Link]) -> Result<(), ComposeError> {
    order(root, links).map(drop)
}

/// `path` from the second time that it comes to `name`: `a -> b -> a`. Of a long way round, its beginning.
fn circle(path: &[&str], name: &str) -> ComposeError {
    const MOST: usize = 8;
    let around = path.iter().skip_while(|other| **other != name);
    let mut names: Vec<String> = around.clone().take(MOST).map(|name| format!("«{name}»")).collect();
    if around.count() > MOST {
        names.push("…".into());
    }
    names.push(format!("«{name}»"));
    ComposeError::Cycle(names.join(" -> "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn link(to: &str, from: &str) -> Link {
        Link { to: to.into(), import: "i".into(), from: from.into(), export: "i".into() }
    }

    #[test]
    fn who_is_needed_comes_first() {
        let diamond =
            [link("top", "left"), link("top", "right"), link("left", "base"), link("right", "base")];
        assert_eq!(order("top", &diamond), Ok(vec!["base", "left", "right", "top"]));
        assert_eq!(order("alone", &[]), Ok(vec!["alone"]));
    }

    #[test]
    fn a_circle_is_told_without_the_way_to_it() {
        let circle = [link("root", "a"), link("a", "b"), link("b", "c"), link("c", "a")];
        assert_eq!(order("root", &circle), Err(ComposeError::Cycle("«a» -> «b» -> «c» -> «a»".into())));
        let long: Vec<Link> =
            (0..20).map(|at: u8| link(&at.to_string(), &((at + 1) % 20).to_string())).collect();
        let sentence = order("0", &long).unwrap_err().to_string();
        assert!(sentence.ends_with("«6» -> «7» -> … -> «0»"), "{sentence}");
        assert_eq!(order("a", &[link("a", "a")]), Err(ComposeError::Cycle("«a» -> «a»".into())));
    }

    proptest! {
        #[test]
        fn any_graph_is_ordered_or_has_a_circle(edges in prop::collection::vec((0u8..8, 0u8..8), 0..20)) {
            let links: Vec<Link> = edges.iter().map(|(to, from)| link(&to.to_string(), &from.to_string())).collect();
            if let Ok(order) = order("0", &links) {
                let place = |name: &str| order.iter().position(|other| *other == name);
                for link in links.iter().filter(|link| place(&link.to).is_some()) {
                    prop_assert!(place(&link.from) < place(&link.to));
                }
            }
        }
    }
}
