//! Who we are: docker's credentials, for registries with passwords and with tokens.

use std::fs;

use builder::registry::{Options, Platforms, Reference, Source};

use crate::daemon::Daemon;
use crate::faults::{Reply, Request, Server};
use crate::kit::{Kit, image, options, repository, sentence};

/// `user:secret`, as `docker login` writes it, and as a registry keeps it (bcrypt).
const AUTH: &str = "dXNlcjpzZWNyZXQ=";
const HTPASSWD: &str = "user:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";

/// A client with a docker config of its own.
fn kit(config: &str) -> (Kit, tempfile::TempDir) {
    let docker = tempfile::tempdir().unwrap();
    fs::write(docker.path().join("config.json"), config).unwrap();
    let kit = Kit::with(Options { docker_config: Some(docker.path().into()), ..options() });
    (kit, docker)
}

fn auths(address: &str, entry: &str) -> String {
    format!(r#"{{"auths": {{"{address}": {entry}}}}}"#)
}

#[tokio::test]
async fn a_registry_with_a_password() {
    let folder = tempfile::tempdir().unwrap();
    let htpasswd = folder.path().join("htpasswd");
    fs::write(&htpasswd, HTPASSWD).unwrap();
    let daemon = Daemon::with("", &format!("auth: {{htpasswd: {{realm: x, path: {}}}}}", htpasswd.display()));
    let reference: Reference = format!("{}/a:1", daemon.address).parse().unwrap();
    let source = Source::layout(image("x"));

    let (good, _docker) = kit(&auths(&daemon.address, &format!(r#"{{"auth": "{AUTH}"}}"#)));
    good.client.push(&source, &reference, &[]).await.unwrap();
    good.client.pull(&reference, Platforms::Best, &good.store).await.unwrap();

    let (nobody, docker) = kit("{}");
    let error = sentence(nobody.client.pull(&reference, Platforms::Best, &nobody.store).await.unwrap_err());
    assert!(error.contains(&daemon.address) && error.contains("has no credentials for it"), "{error}");
    assert!(error.contains(&docker.path().join("config.json").display().to_string()), "{error}");
    assert!(error.contains(&format!("docker login {}", daemon.address)), "{error}");

    let (wrong, _docker) = kit(&auths(&daemon.address, r#"{"username": "user", "password": "wrong"}"#));
    let error = sentence(wrong.client.push(&source, &reference, &[]).await.unwrap_err());
    assert!(error.contains("wrong or have expired"), "{error}");
    assert!(!error.contains("secret") && !error.contains("wrong\""), "{error}");
}

/// A registry that wants a token, and the server that gives it to those whom `knows` knows.
fn with_tokens(knows: impl Fn(&Request) -> bool + Send + Sync + 'static) -> Server {
    Server::start(move |request, nth| {
        let shown = request.headers.get("authorization").cloned().unwrap_or_default();
        if request.path.starts_with("/token") {
            return match knows(request) {
                true => Reply::new(200, format!(r#"{{"token": "token-{nth}", "expires_in": 300}}"#)),
                false => Reply::new(401, r#"{"errors": [{"code": "UNAUTHORIZED", "message": "no"}]}"#),
            };
        }
        // The first token ends early: once used, it is worth nothing.
        let is_spent = shown == "Bearer token-0" && nth > 1;
        match shown.starts_with("Bearer token-") && !is_spent {
            true => Reply::new(200, r#"{"tags": ["1.0.0"]}"#),
            false => Reply::new(401, "").header(
                "WWW-Authenticate",
                format!(
                    r#"Bearer realm="http://{}/token",service="it",scope="repository:a:pull""#,
                    request.headers["host"]
                ),
            ),
        }
    })
}

#[tokio::test]
async fn a_token_is_asked_for_once_and_renewed_when_it_is_refused() {
    let server = with_tokens(|request| {
        request.headers.get("authorization").is_some_and(|a| a == &format!("Basic {AUTH}"))
    });
    let (kit, _docker) = kit(&auths(&server.address, &format!(r#"{{"auth": "{AUTH}"}}"#)));
    let a = repository(&server.address, "a");
    for _ in 0..3 {
        assert_eq!(kit.client.tags(&a).await.unwrap(), ["1.0.0"]);
    }
    let asked: Vec<Request> =
        server.requests().into_iter().filter(|request| request.path.starts_with("/token")).collect();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].path, "/token?service=it&scope=repository%3Aa%3Apull");
}

#[tokio::test]
async fn an_identity_token_is_exchanged() {
    let server = with_tokens(|request| {
        let form = String::from_utf8(request.body.clone()).unwrap();
        request.method == "POST"
            && form.contains("grant_type=refresh_token")
            && form.contains("refresh_token=identity%2F1")
    });
    let (kit, _docker) = kit(&auths(&server.address, r#"{"auth": "", "identitytoken": "identity/1"}"#));
    assert_eq!(kit.client.tags(&repository(&server.address, "a")).await.unwrap(), ["1.0.0"]);
}

#[tokio::test]
async fn whom_nobody_knows_gets_an_anonymous_token() {
    let server = with_tokens(|request| !request.headers.contains_key("authorization"));
    let (kit, _docker) = kit("{}");
    assert_eq!(kit.client.tags(&repository(&server.address, "a")).await.unwrap(), ["1.0.0"]);
}

#[tokio::test]
async fn credentials_that_have_expired_are_named_with_the_cure() {
    let server = with_tokens(|_| false);
    let (kit, _docker) = kit(&auths(&server.address, r#"{"identitytoken": "old"}"#));
    let error = sentence(kit.client.tags(&repository(&server.address, "a")).await.unwrap_err());
    let address = &server.address;
    assert!(
        error.starts_with(&format!("{address} refuses the tags of {address}/a (UNAUTHORIZED: no)")),
        "{error}"
    );
    assert!(error.contains("have expired") && error.contains(&format!("docker login {address}")), "{error}");
}

#[tokio::test]
async fn a_right_that_the_account_lacks_is_told_as_such() {
    let server =
        Server::start(|_, _| Reply::new(403, r#"{"errors": [{"code": "DENIED", "message": "not yours"}]}"#));
    let (kit, _docker) = kit(&auths(&server.address, &format!(r#"{{"auth": "{AUTH}"}}"#)));
    let error = sentence(kit.client.tags(&repository(&server.address, "a")).await.unwrap_err());
    assert!(error.contains("(DENIED: not yours)") && error.contains("ask its owner"), "{error}");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn another_host_is_never_told_who_we_are() {
    let stranger = Server::start(|_, _| Reply::new(200, "content"));
    let to = stranger.address.clone();
    let server = Server::start(move |request, _| match request.headers.contains_key("authorization") {
        true => Reply::new(307, "").header("Location", format!("http://{to}/blob")),
        false => Reply::new(401, "").header("WWW-Authenticate", "Basic realm=x"),
    });
    let (kit, _docker) = kit(&auths(&server.address, &format!(r#"{{"auth": "{AUTH}"}}"#)));
    let blob = image::Descriptor {
        media_type: String::new(),
        digest: image::Digest::of(b"content"),
        size: 7,
        annotations: Default::default(),
    };
    kit.client.blob(&repository(&server.address, "a"), &blob, &kit.store).await.unwrap();
    assert_eq!(stranger.requests().len(), 1);
    assert!(!stranger.requests()[0].headers.contains_key("authorization"));
}

#[tokio::test]
async fn an_upload_that_goes_on_elsewhere_does_not_tell_who_we_are() {
    let stranger = Server::start(|_, _| Reply::new(201, ""));
    let to = stranger.address.clone();
    let server = Server::start(move |request, _| {
        match (request.headers.contains_key("authorization"), request.method.as_str()) {
            (false, _) => Reply::new(401, "").header("WWW-Authenticate", "Basic realm=x"),
            (_, "POST") => Reply::new(202, "").header("Location", format!("http://{to}/upload?state=1")),
            (_, "PUT") => Reply::new(201, ""),
            _ => Reply::new(404, ""),
        }
    });
    let (kit, _docker) = kit(&auths(&server.address, &format!(r#"{{"auth": "{AUTH}"}}"#)));
    let reference = repository(&server.address, "a").tagged("1").unwrap();
    kit.client.push(&Source::layout(image("x")), &reference, &[]).await.unwrap();
    let puts = stranger.requests();
    assert_eq!(puts.len(), 2);
    assert!(
        puts.iter()
            .all(|put| !put.headers.contains_key("authorization")
                && put.path.contains("state=1&digest=sha256"))
    );
}
