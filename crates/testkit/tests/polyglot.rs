//! One application of components in Rust, Go and Python (test-images/polyglot), linked when its image is built, when that image is
//! loaded, and by the annotation of a pod that has all three.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use image::ImageBuilder;
use testkit::http::{Answer, field, say};
use testkit::{Containerd, Nest, Run, command_line, guest};

const ROUTER: &str = "polyglot-router.wasm";
const OTHERS: [&str; 2] = ["polyglot-auth.wasm", "polyglot-pages.wasm"];

/// Tokens by HS256 of this secret. The good one is about `<b>Ada</b>`, until the year 2100.
const SECRET: &str = "correct horse";
const GOOD: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiI8Yj5BZGE8L2I-IiwiZXhwIjo0MTAyNDQ0ODAwfQ.\
                    msQBT5rYq3yhB2kpOtz8RwGg3QOmSNtDpHI7LfIpLb8";
const EXPIRED: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJBZGEiLCJleHAiOjk0NjY4NDgwMH0.\
                       PvxLqa0H3WibL5lt70bTH7N7OcDq6KucoGcHmUCibhs";
const FORGED: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJBZGEiLCJleHAiOjQxMDI0NDQ4MDB9.\
                      P5Izrt3gWEgwMqzbjzOrVEHMkeozNSwoIANRt2ELQIU";

fn ask(nest: &Nest, token: Option<&str>) -> Result<Answer> {
    let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    say(nest, &format!("GET /home HTTP/1.1\r\nHost: test\r\n{authorization}Connection: close\r\n\r\n"))
}

/// The application as a container: it turns away who has no good token, and shows a page to who has.
fn serves(daemon: &Containerd, run: Run<'_>) -> Result<()> {
    let mut server = run.host_network().env("JWT_SECRET", SECRET).spawn()?;
    let nest = daemon.nest();
    for (token, why) in [
        (None, "send it as Authorization: Bearer TOKEN"),
        (Some("nonsense"), "The token is no JSON Web Token"),
        (Some(FORGED), "The token's signature is not right."),
        (Some(EXPIRED), "The token has expired."),
    ] {
        let refused = ask(nest, token)?;
        assert_eq!(refused.status, 401, "{token:?}: {refused:?} {}", server.stderr());
        assert!(refused.body.contains(why), "{token:?}: {refused:?}");
    }
    let page = ask(nest, Some(GOOD))?;
    assert_eq!(
        (page.status, field(&page.head, "content-type")),
        (200, Some("text/html; charset=utf-8")),
        "{page:?} {}",
        server.stderr()
    );
    assert!(page.body.contains("&lt;b&gt;Ada&lt;/b&gt;") && !page.body.contains("<b>Ada"), "{}", page.body);
    server.kill("SIGTERM")?;
    assert_eq!(server.outcome()?.code, 0);
    Ok(())
}

/// A folder with the project, whose components were built before.
fn project(daemon: &Containerd, format: &str) -> Result<PathBuf> {
    let folder = daemon.nest().folder().join(format);
    fs::create_dir_all(&folder)?;
    for file in OTHERS.into_iter().chain([ROUTER]) {
        fs::write(folder.join(file), guest(file)?)?;
    }
    let text = format!(
        "name = \"polyglot\"\nversion = \"1.0.0\"\nworld = \"server\"\n[components]\nrouter = \"{ROUTER}\"\nauth = \"{}\"\n\
         pages = \"{}\"\n[graph]\nroot = \"router\"\n[output]\nformat = \"{format}\"\ntag = \"localhost/{format}:1.0.0\"\n",
        OTHERS[0], OTHERS[1]
    );
    fs::write(folder.join("run.toml"), text)?;
    Ok(folder)
}

/// The image that `run-wasm build` makes of the project, run by what it says of itself.
fn built<'a>(daemon: &'a Containerd, format: &str) -> Result<Run<'a>> {
    let (folder, tar) = (project(daemon, format)?, daemon.nest().folder().join(format!("{format}.tar")));
    let output = command_line(daemon.nest())?
        .arg("build")
        .arg(&folder)
        .arg("--output")
        .arg(format!("tar:{}", tar.display()))
        .output();
    let output = output.context("cannot run run-wasm")?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(daemon.run_tar(&tar, &format!("localhost/{format}:1.0.0")))
}

testkit::stories! {
    fn three_languages_linked_when_the_image_is_built_are_one_server(daemon) {
        serves(daemon, built(daemon, "image")?)?;
    }

    fn three_languages_linked_when_the_image_is_loaded_are_one_server(daemon) {
        serves(daemon, built(daemon, "layers")?)?;
    }

    fn three_languages_linked_by_a_pod_are_one_server(daemon) {
        let mut image = ImageBuilder::new();
        for file in OTHERS.into_iter().chain([ROUTER]) {
            image = image.wasm(file, guest(file)?);
        }
        let plugs = OTHERS.map(|file| format!("/{file}")).join(", ");
        let program = format!("/{ROUTER}");
        let run = daemon.run_image("plugged", image.entrypoint([&program]), &program);
        serves(daemon, run.annotation("run.wasm/plug", &plugs))?;
    }
}
