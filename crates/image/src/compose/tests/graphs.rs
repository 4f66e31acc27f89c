use proptest::prelude::*;

use super::*;

const RUN: &str = "wasi:cli/run@0.2.0";

#[test]
fn a_chain_is_linked_from_its_end() {
    let parts = [
        ("app", part(&["a:calc/api@1.0.0"], &[RUN])),
        ("calc", part(&["a:math/add@0.1.0", "wasi:cli/stdout@0.2.3"], &["a:calc/api@1.0.0"])),
        ("math", part(&[], &["a:math/add@0.1.0"])),
    ];
    let composed = composed(&parts);
    assert_eq!(links(&composed.plan), ["app<-calc", "calc<-math"]);
    assert_eq!(instances(&composed.bytes), 3);
    assert_eq!(surface(&composed.bytes), (vec!["wasi:cli/stdout@0.2.3".into()], vec![RUN.into()]));
}

#[test]
fn a_shared_dependency_has_one_instance() {
    let parts = [
        ("app", part(&["a:left/api", "a:right/api"], &[RUN])),
        ("base", part(&[], &["a:base/api"])),
        ("left", part(&["a:base/api"], &["a:left/api"])),
        ("right", part(&["a:base/api"], &["a:right/api"])),
    ];
    let composed = composed(&parts);
    assert_eq!(links(&composed.plan), ["app<-left", "app<-right", "left<-base", "right<-base"]);
    assert_eq!(instances(&composed.bytes), 4);
}

#[test]
fn one_content_by_two_names_is_two_instances_of_one_code() {
    let base = part(&[], &["a:base/api"]);
    let parts = [
        ("app", part(&["a:left/api", "a:right/api"], &[RUN])),
        ("left", part(&["a:base/api"], &["a:left/api"])),
        ("right", part(&["a:base/api"], &["a:right/api"])),
        ("base-1", base.clone()),
        ("base-2", base.clone()),
    ];
    let mut wiring = wiring(&parts);
    wiring.choices = vec![choice("left", "a:base/api", "base-1"), choice("right", "a:base/api", "base-2")];
    let composed = compose(&components(&parts), &wiring, Target::Command).unwrap();
    assert_eq!(instances(&composed.bytes), 5);
    let codes = composed.bytes.windows(base.len()).filter(|window| *window == base).count();
    assert_eq!(codes, 1);
}

#[test]
fn a_compatible_version_serves_and_the_node_is_asked_for_the_highest() {
    let parts = [
        ("app", part(&["a:math/add@0.2.0", "wasi:cli/stdout@0.2.0"], &[RUN])),
        ("math", part(&["wasi:cli/stdout@0.2.6"], &["a:math/add@0.2.1"])),
    ];
    let composed = composed(&parts);
    assert_eq!(composed.plan.links[0].export, "a:math/add@0.2.1");
    assert_eq!(surface(&composed.bytes).0, ["wasi:cli/stdout@0.2.6"]);
}

#[test]
fn what_a_node_provides_can_be_given_by_a_component() {
    let parts = [
        ("app", part(&["wasi:random/random@0.2.0"], &[RUN])),
        ("dice", part(&[], &["wasi:random/random@0.2.3"])),
    ];
    assert_eq!(surface(&composed(&parts).bytes).0, Vec::<String>::new());
}

#[test]
fn a_chosen_link_counts_before_every_match() {
    let parts = [
        ("app", part(&["a:math/add@0.1.0"], &[RUN])),
        ("fast", part(&[], &["a:math/add@0.1.0"])),
        ("slow", part(&["a:math/add@0.1.0"], &["a:math/add@0.1.0", "b:c/d"])),
    ];
    let mut wiring = wiring(&parts);
    // Without its version, as people write it.
    wiring.choices = vec![choice("app", "a:math/add", "slow")];
    let composed = compose(&components(&parts), &wiring, Target::Any).unwrap();
    assert_eq!(links(&composed.plan), ["app<-slow", "slow<-fast"]);
    wiring.choices[0] = Choice { export: Some("b:c/d".into()), ..choice("app", "a:math/add", "slow") };
    let composed = compose(&components(&parts), &wiring, Target::Any).unwrap();
    assert_eq!(composed.plan.links[0].export, "b:c/d");
}

#[test]
fn plugs_serve_what_stands_before_them() {
    let handler = "a:http/handler@1.0.0";
    let (socket, auth, cache) = (
        part(&[handler], &[RUN]),
        part(&[handler, "a:log/log"], &[handler]),
        part(&["a:log/log"], &[handler]),
    );
    let log = part(&[], &["a:log/log"]);
    let named = |name, bytes| Component { name, bytes };
    let plugs = [named("auth", &auth), named("cache", &cache), named("log", &log)];
    let composed = plug(named("socket", &socket), &plugs, Target::Command).unwrap();
    assert_eq!(links(&composed.plan), ["auth<-cache", "auth<-log", "cache<-log", "socket<-auth"]);
    let swapped = [named("log", &log), named("auth", &auth), named("cache", &cache)];
    let sentence = plug(named("socket", &socket), &swapped, Target::Any).unwrap_err().to_string();
    assert!(sentence.contains("«log» exports and is plugged in before it"), "{sentence}");
}

#[test]
fn a_component_that_needs_none_stays_as_it_is() {
    let parts = [("app", part(&["wasi:cli/stdout@0.2.0"], &[RUN]))];
    assert_eq!(composed(&parts).bytes, parts[0].1);
}

#[test]
fn a_stored_plan_links_the_same_and_nothing_else() {
    let parts = [("app", part(&["a:b/c"], &[RUN])), ("dep", part(&[], &["a:b/c"]))];
    let whole = composed(&parts);
    let stored: Plan = serde_json::from_str(&serde_json::to_string(&whole.plan).unwrap()).unwrap();
    assert_eq!(stored, whole.plan);
    assert_eq!(stored.digest(), whole.plan.digest());
    assert_eq!(stored.compose(&components(&parts)).unwrap(), whole.bytes);
    let replaced = [parts[0].clone(), ("dep", part(&[], &["a:b/c", "x:y/z"]))];
    let sentence = stored.compose(&components(&replaced)).unwrap_err().to_string();
    assert!(sentence.contains("made for «dep» with the digest sha256:"), "{sentence}");
    assert!(stored.compose(&components(&parts[..1])).is_err());
}

#[test]
fn a_plan_that_nobody_made_is_refused() {
    let parts = [("app", part(&["a:b/c"], &[RUN])), ("dep", part(&[], &["a:b/c"]))];
    let plan = composed(&parts).plan;
    let with = |change: &dyn Fn(&mut Plan)| {
        let mut plan = plan.clone();
        change(&mut plan);
        plan.compose(&components(&parts)).unwrap_err().to_string()
    };
    assert!(with(&|plan| plan.root = "none".into()).contains("no component «none»"));
    assert!(with(&|plan| plan.links[0].to = "none".into()).contains("no component «none», only app, dep"));
    assert!(with(&|plan| plan.root = "a\u{1b}[2J".into()).contains(r"«a\u{1b}[2J» is no name"));
    let many = |plan: &mut Plan| {
        let digest = plan.components["app"];
        plan.components.extend((0..MAX_COMPONENTS).map(|index| (index.to_string(), digest)));
    };
    assert!(with(&many).contains("there are 258 components; the limit of one composition is 256"));
    assert!(with(&|plan| plan.links[0].from = "app".into()).contains("«app» -> «app»"));
    assert!(with(&|plan| plan.links[0].import = "x".into()).contains("not valid"));
    assert!(with(&|plan| plan.links[0].export = "x".into()).contains("not valid"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Layers of components, in which each imports some of what lower ones export.
    #[test]
    fn any_graph_without_a_circle_is_composed_and_always_the_same(
        needs in prop::collection::vec(prop::collection::btree_set(0usize..6, 0..4), 1..6),
    ) {
        let names: Vec<String> = (0..=needs.len()).map(|index| format!("part-{index}")).collect();
        let api = |index: usize| format!("a:part-{index}/api@0.1.0");
        let mut parts = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let imports: Vec<String> = match needs.get(index) {
                Some(needs) => (index + 1..=needs_end(&names)).filter(|i| *i == index + 1 || needs.contains(i)).map(api).collect(),
                None => Vec::new(),
            };
            let imports: Vec<&str> = imports.iter().map(String::as_str).collect();
            parts.push((name.as_str(), part(&imports, &[&api(index)])));
        }
        let first = composed(&parts);
        prop_assert_eq!(instances(&first.bytes), parts.len());
        prop_assert_eq!(surface(&first.bytes), (vec![], vec![api(0)]));
        let mut turned = components(&parts);
        turned.reverse();
        prop_assert_eq!(&compose(&turned, &wiring(&parts), Target::Any).unwrap(), &first);
        prop_assert_eq!(first.plan.compose(&turned).unwrap(), first.bytes);
    }

    #[test]
    fn any_bytes_are_refused_or_composed(bytes: Vec<u8>, cut in 0usize..400) {
        let whole = part(&["a:b/c"], &["d:e/f"]);
        for bytes in [bytes.as_slice(), &whole[..cut.min(whole.len())], &[b"\0asm\x0d\0\x01\0", bytes.as_slice()].concat()] {
            let app = part(&["d:e/f"], &["wasi:cli/run@0.2.0"]);
            let components = [Component { name: "app", bytes: &app }, Component { name: "dep", bytes }];
            drop(compose(&components, &Wiring { root: "app".into(), ..Wiring::default() }, Target::Any));
        }
    }
}

fn needs_end(names: &[String]) -> usize {
    names.len() - 1
}
