//! Credentials as docker keeps them: `config.json` with its `auths`, `credHelpers`, `credsStore` and identity tokens.

use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use docker_credential::{CredentialRetrievalError as Why, DockerCredential};

use super::error::{RegistryError, tame};

/// The largest `config.json` that is read, in bytes.
const MAX_CONFIG: u64 = 4 << 20;

/// What a helper says of a registry that it has no credentials for (docker-credential-helpers, `credentials`).
const UNKNOWN: &str = "credentials not found in native keychain";

/// Who we are for a registry.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Login {
    Password {
        user: String,
        password: String,
    },
    /// An OAuth 2 refresh token.
    Identity(String),
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login")
    }
}

/// docker's folder: `$DOCKER_CONFIG`, or `~/.docker`.
pub(super) fn docker_folder() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("DOCKER_CONFIG").or_else(|| set("HOME").map(|home| home.join(".docker")))
}

/// The credentials for `registry` (host and port) that `file`, a `config.json`, or the helper that it names has. May run the
/// helper, and wait for it. `None` when there are none, or no such file.
///
/// # Errors
/// A sentence with the file, or with the registry whose helper fails.
pub(super) fn login(file: &Path, registry: &str) -> Result<Option<Login>, RegistryError> {
    let mut text = Vec::new();
    let read = File::open(file).and_then(|open| open.take(MAX_CONFIG).read_to_end(&mut text));
    match read {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(RegistryError::file(file, &error)),
        Ok(_) => {}
    }
    let refuse = |why: String| RegistryError::Credentials { registry: registry.into(), why };
    let shown = file.display();
    match docker_credential::get_credential_from_reader(text.as_slice(), registry) {
        Ok(DockerCredential::UsernamePassword(user, password)) => {
            Ok(Some(Login::Password { user, password }))
        }
        Ok(DockerCredential::IdentityToken(token)) => Ok(Some(Login::Identity(token))),
        Err(Why::NoCredentialConfigured | Why::ConfigNotFound) => Ok(None),
        Err(Why::HelperFailure { stdout, stderr, .. })
            if stdout.trim() == UNKNOWN || stderr.trim() == UNKNOWN =>
        {
            Ok(None)
        }
        Err(Why::HelperFailure { helper, stdout, stderr }) => {
            let said = if stdout.trim().is_empty() { stderr } else { stdout };
            Err(refuse(format!(
                "{helper}, which {shown} names, says «{}»: repair it, or log in again",
                tame(&said)
            )))
        }
        Err(Why::HelperCommunicationError) => Err(refuse(format!(
            "the credential helper that {shown} names cannot be run: install it, or remove it from there and log in again"
        ))),
        Err(Why::MalformedHelperResponse) => {
            Err(refuse(format!("the credential helper that {shown} names answers no JSON of its protocol")))
        }
        Err(Why::ConfigReadError) => {
            Err(refuse(format!("{shown} is no JSON that docker writes: correct it")))
        }
        Err(Why::CredentialDecodingError) => {
            Err(refuse(format!("its «auth» in {shown} is no base64 of user:password: log in again")))
        }
        Err(Why::CredentialMismatchError) => {
            Err(refuse(format!("its «auth» and its username and password in {shown} differ: log in again")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn of(config: &str, registry: &str) -> Result<Option<Login>, RegistryError> {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("config.json");
        fs::write(&file, config).unwrap();
        login(&file, registry)
    }

    fn password(user: &str, password: &str) -> Option<Login> {
        Some(Login::Password { user: user.into(), password: password.into() })
    }

    #[test]
    fn a_password_is_found_by_host_and_port() {
        // user:pa:ss
        let config = r#"{"auths": {"registry.example:5000": {"auth": "dXNlcjpwYTpzcw=="}, "https://other.example/v1/": {"username": "a", "password": "b"}}}"#;
        assert_eq!(of(config, "registry.example:5000").unwrap(), password("user", "pa:ss"));
        assert_eq!(of(config, "other.example").unwrap(), password("a", "b"));
        assert_eq!(of(config, "registry.example").unwrap(), None);
    }

    #[test]
    fn an_identity_token_goes_before_the_user_that_stands_beside_it() {
        let config = r#"{"auths": {"registry.example": {"auth": "PHRva2VuPjo=", "identitytoken": "t"}}}"#;
        assert_eq!(of(config, "registry.example").unwrap(), Some(Login::Identity("t".into())));
    }

    #[test]
    fn without_a_config_nobody_is_logged_in() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(login(&home.path().join("config.json"), "registry.example").unwrap(), None);
        assert_eq!(of("{}", "registry.example").unwrap(), None);
    }

    #[test]
    fn what_cannot_be_read_is_named_with_the_cure() {
        let sentence = |config: &str| of(config, "registry.example").unwrap_err().to_string();
        assert!(sentence("{").contains("config.json is no JSON"));
        assert!(sentence(r#"{"auths": {"registry.example": {"auth": "%"}}}"#).contains("log in again"));
        let helper = sentence(r#"{"credHelpers": {"registry.example": "no-such-helper"}}"#);
        assert!(helper.contains("registry.example") && helper.contains("install it"), "{helper}");
        let folder = tempfile::tempdir().unwrap();
        let error = login(folder.path(), "registry.example").unwrap_err().to_string();
        assert!(error.contains(&folder.path().display().to_string()), "{error}");
    }

    #[test]
    fn secrets_are_not_printed() {
        let login = of(r#"{"auths": {"a.b": {"username": "u", "password": "hidden"}}}"#, "a.b").unwrap();
        assert!(!format!("{login:?}").contains("hidden"));
    }
}
