//! Components of one image that are linked when it is loaded, by its own plan or by the pod.

use anyhow::Result;
use image::compose::{Component, Plan, Target, Wiring};
use image::{Digest, ImageBuilder};
use serde_json::{Value, json};
use testkit::{Containerd, Outcome, Run};

/// Succeeds when the answer is 42.
const APP: &str = r#"(component
    (import "a:math/answer@0.1.0" (instance $math (export "f" (func (result u32)))))
    (core func $f (canon lower (func $math "f")))
    (core module $m
        (import "math" "f" (func $f (result i32)))
        (func (export "run") (result i32) (i32.ne (call $f) (i32.const 42))))
    (core instance $c (instantiate $m (with "math" (instance (export "f" (func $f))))))
    (func $run (result (result)) (canon lift (core func $c "run")))
    (instance $i (export "run" (func $run)))
    (export "wasi:cli/run@0.2.0" (instance $i)))"#;

/// Gives an answer.
fn math(answer: &str, kind: &str) -> String {
    format!(
        r#"(component
            (core module $m (func (export "f") (result i32) (i32.const {answer})))
            (core instance $c (instantiate $m))
            (func $f (result {kind}) (canon lift (core func $c "f")))
            (instance $i (export "f" (func $f)))
            (export "a:math/answer@0.1.2" (instance $i)))"#
    )
}

/// The app and what it is plugged with, as layers.
fn layers(plugs: &[(&str, String)]) -> Result<ImageBuilder> {
    let mut image = ImageBuilder::new().wasm("app.wasm", wat::parse_str(APP)?);
    for (name, text) in plugs {
        image = image.wasm(*name, wat::parse_str(text)?);
    }
    Ok(image)
}

fn plugged<'a>(
    daemon: &'a Containerd,
    name: &str,
    plugs: &[(&str, String)],
    annotation: &str,
) -> Result<Run<'a>> {
    Ok(daemon.run_image(name, layers(plugs)?, "/app.wasm").annotation("run.wasm/plug", annotation))
}

/// An image with this composition in its config, whoever has made it.
fn composed(daemon: &Containerd, name: &str, plan: &Value) -> Result<Outcome> {
    let app = wat::parse_str(APP)?;
    let answer = wat::parse_str(math("42", "u32"))?;
    let digests = [Digest::of(&app).to_string(), Digest::of(&answer).to_string()];
    let config = json!({
        "architecture": "wasm", "os": "wasip2", "config": {"Entrypoint": ["/app.wasm"]},
        "layerDigests": digests, "layerTitles": ["app.wasm", "math.wasm"],
        "rootfs": {"type": "layers", "diff_ids": []}, "run.wasm/composition": plan,
    });
    let image = ImageBuilder::new().wasm("app.wasm", app).wasm("math.wasm", answer).config(config);
    daemon.run_image(name, image, "/app.wasm").outcome()
}

/// The composition that the builder would make.
fn plan() -> Result<Value> {
    let (app, answer) = (wat::parse_str(APP)?, wat::parse_str(math("42", "u32"))?);
    let components =
        [Component { name: "app.wasm", bytes: &app }, Component { name: "math.wasm", bytes: &answer }];
    let wiring = Wiring { root: "app.wasm".into(), ..Wiring::default() };
    Ok(serde_json::to_value(Plan::new(&components, &wiring, Target::Command)?)?)
}

testkit::stories! {
    fn a_pod_plugs_components_of_its_image_into_the_one_that_runs(daemon) {
        for (answer, code) in [("42", 0), ("41", 1)] {
            let run = plugged(daemon, &format!("answer-{answer}"), &[("math.wasm", math(answer, "u32"))], "/math.wasm")?;
            let end = run.outcome()?;
            assert_eq!(end.code, code, "{end}");
        }
        // Of two that could serve, the first in the pod's order does.
        let both = [("right.wasm", math("42", "u32")), ("wrong.wasm", math("41", "u32"))];
        let refused = plugged(daemon, "both", &both, "/right.wasm, /wrong.wasm")?.outcome()?.refusal()?;
        assert!(refused.contains("nothing uses «wrong.wasm»"), "{refused}");
        assert_eq!(plugged(daemon, "both", &both, "/right.wasm")?.outcome()?.code, 0);
        assert_eq!(plugged(daemon, "both", &both, "/wrong.wasm")?.outcome()?.code, 1);
    }

    fn what_cannot_be_plugged_in_is_refused_by_its_name(daemon) {
        let math = || vec![("math.wasm", math("42", "u32"))];
        let without = daemon.run_image("app", layers(&math())?, "/app.wasm").outcome()?.refusal()?;
        assert!(without.contains("a:math/answer"), "{without}");
        let absent = plugged(daemon, "app", &math(), "/other.wasm")?.outcome()?.refusal()?;
        assert!(absent.contains("run.wasm/plug") && absent.contains("«/other.wasm»") && absent.contains("«math.wasm»"), "{absent}");
        let other = [("math.wasm", self::math("42", "s32"))];
        let mistyped = plugged(daemon, "mistyped", &other, "/math.wasm")?.outcome()?.refusal()?;
        assert!(mistyped.contains("of another type") && mistyped.contains("u32") && mistyped.contains("s32"), "{mistyped}");
        let itself = plugged(daemon, "app", &math(), "/app.wasm")?.outcome()?.refusal()?;
        assert!(itself.contains("two components are called «app.wasm»"), "{itself}");
    }

    fn an_image_is_linked_by_the_plan_in_its_config_and_by_no_other(daemon) {
        let end = composed(daemon, "planned", &plan()?)?;
        assert_eq!(end.code, 0, "{end}");
        let mut absent = plan()?;
        *absent.pointer_mut("/components/math.wasm").unwrap_or(&mut Value::Null) = Digest::of(b"other").to_string().into();
        let refused = composed(daemon, "absent", &absent)?.refusal()?;
        assert!(refused.contains("links «math.wasm»") && refused.contains("no layer is that"), "{refused}");
        let mut unlinked = plan()?;
        *unlinked.pointer_mut("/links/0/export").unwrap_or(&mut Value::Null) = "a:math/other@0.1.2".into();
        let refused = composed(daemon, "unlinked", &unlinked)?.refusal()?;
        assert!(refused.contains("its components cannot be linked"), "{refused}");
        let plugged = daemon.run_image("planned", ImageBuilder::new(), "/app.wasm").annotation("run.wasm/plug", "/math.wasm");
        let refused = plugged.outcome()?.refusal()?;
        assert!(refused.contains("links «app.wasm» with its own layers"), "{refused}");
    }
}
