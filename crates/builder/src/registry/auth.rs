//! What a registry wants to see before it answers: challenges and tokens (distribution's token specification, RFC 6750).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;
use serde::Deserialize;

/// How long a token counts that does not say it, and how long before its end it is renewed.
const DEFAULT_LIFE: Duration = Duration::from_secs(60);
const MARGIN: Duration = Duration::from_secs(5);

/// How a registry wants to be told who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

/// The challenge of a 401 that we can meet; tokens rather than passwords.
pub(super) fn challenge(headers: &HeaderMap) -> Option<Challenge> {
    let mut basic = None;
    for text in headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok()) {
        for found in http_auth::parse_challenges(text).unwrap_or_default() {
            let parameter = |name: &str| {
                let found = found.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
                found.map(|(_, value)| value.to_unescaped())
            };
            if found.scheme.eq_ignore_ascii_case("bearer")
                && let Some(realm) = parameter("realm")
            {
                let (service, scope) = (parameter("service"), parameter("scope"));
                return Some(Challenge::Bearer { realm, service, scope });
            }
            if found.scheme.eq_ignore_ascii_case("basic") {
                basic = Some(Challenge::Basic);
            }
        }
    }
    basic
}

/// What goes into the header `Authorization`.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Authorization {
    Basic { user: String, password: String },
    Bearer(String),
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authorization")
    }
}

/// What registries have accepted, by registry and scope.
#[derive(Debug, Default)]
pub(super) struct Wallet(Mutex<HashMap<(String, String), Held>>);

#[derive(Debug)]
struct Held {
    authorization: Authorization,
    until: Option<Instant>,
}

impl Wallet {
    pub fn get(&self, registry: &str, scope: &str) -> Option<Authorization> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = held.get(&(registry.to_owned(), scope.to_owned()))?;
        found.until.is_none_or(|until| Instant::now() < until).then(|| found.authorization.clone())
    }

    /// `life`: how long it counts; `None` for ever.
    pub fn put(&self, registry: &str, scope: &str, authorization: Authorization, life: Option<Duration>) {
        let until = life.and_then(|life| Instant::now().checked_add(life));
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.insert((registry.to_owned(), scope.to_owned()), Held { authorization, until });
    }
}

/// What a token server answers.
#[derive(Deserialize)]
pub(super) struct Token {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
    expires_in: Option<u64>,
}

impl Token {
    /// The token and how long it counts; `None` for an answer without one.
    pub fn parse(bytes: &[u8]) -> Option<(String, Duration)> {
        let answer: Token = serde_json::from_slice(bytes).ok()?;
        let token = if answer.token.is_empty() { answer.access_token } else { answer.token };
        let life = answer.expires_in.map_or(DEFAULT_LIFE, Duration::from_secs).saturating_sub(MARGIN);
        (!token.is_empty()).then_some((token, life))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&'static str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, http::HeaderValue::from_static(value));
        }
        challenge(&headers)
    }

    #[test]
    fn a_token_is_preferred_to_a_password() {
        let bearer = r#"Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push""#;
        let expected = Challenge::Bearer {
            realm: "https://auth.example/token".into(),
            service: Some("registry.example".into()),
            scope: Some("repository:a/b:pull,push".into()),
        };
        assert_eq!(of(&["Basic realm=x", bearer]), Some(expected));
        assert_eq!(of(&[r#"Basic realm="x""#]), Some(Challenge::Basic));
    }

    #[test]
    fn other_challenges_are_not_met() {
        assert_eq!(of(&["Negotiate", "Bearer", "\"", "Bearer realm"]), None);
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn a_token_counts_as_long_as_it_says() {
        let (token, life) = Token::parse(br#"{"access_token": "t", "expires_in": 300}"#).unwrap();
        assert_eq!((token.as_str(), life.as_secs()), ("t", 295));
        assert!(Token::parse(br#"{"token": ""}"#).is_none() && Token::parse(b"<html>").is_none());
        let wallet = Wallet::default();
        wallet.put("r", "s", Authorization::Bearer("old".into()), Some(Duration::ZERO));
        assert_eq!(wallet.get("r", "s"), None);
        wallet.put("r", "s", Authorization::Bearer("new".into()), None);
        assert_eq!(wallet.get("r", "s"), Some(Authorization::Bearer("new".into())));
        assert_eq!(wallet.get("r", "other"), None);
    }
}
