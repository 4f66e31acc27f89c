//! Meeting a registry's challenge: a password, or a token from the server that it names.

use std::sync::atomic::AtomicU64;
use std::time::SystemTime;

use http::StatusCode;
use http::header::CONTENT_TYPE;
use reqwest::{Response, Url};

use super::auth::{Authorization, Challenge, Token, challenge};
use super::client::{Call, Client};
use super::credentials::Login;
use super::error::{RegistryError, tame};
use super::retry::{Fault, retry_after};

/// The largest answer of a token server that is read, in bytes.
const MAX_TOKEN: u64 = 1 << 20;

impl Client {
    /// What to show after this 401.
    pub(super) async fn authorize(
        &self,
        call: &Call<'_>,
        scope: &str,
        response: Response,
    ) -> Result<Authorization, Fault> {
        let registry = call.repository.registry();
        match challenge(response.headers()) {
            None => Err(self.refused(call, response).await.into()),
            Some(Challenge::Basic) => match self.login(registry).await? {
                Some(Login::Password { user, password }) => {
                    let authorization = Authorization::Basic { user, password };
                    self.wallet().put(registry, scope, authorization.clone(), None);
                    Ok(authorization)
                }
                _ => Err(self.refused(call, response).await.into()),
            },
            Some(Challenge::Bearer { realm, service, scope: asked }) => {
                let realm = self.realm(call, &realm)?;
                let mut scopes: Vec<&str> = scope.split(' ').collect();
                // A registry may want more than the specification says; what it asks for twice is asked for once.
                for more in asked.as_deref().unwrap_or_default().split(' ') {
                    if !more.is_empty() && !scopes.contains(&more) {
                        scopes.push(more);
                    }
                }
                self.token(call, realm, service.as_deref(), &scopes, scope).await
            }
        }
    }

    /// The address of the token server. It is shown the credentials, so that it must be as safe as the registry.
    fn realm(&self, call: &Call<'_>, realm: &str) -> Result<Url, RegistryError> {
        let is_safe =
            |url: &Url| url.scheme() == "https" || url.scheme() == "http" && call.url.scheme() == "http";
        Url::parse(realm).ok().filter(is_safe).ok_or_else(|| RegistryError::Hostile {
            registry: call.repository.registry().into(),
            what: "our credentials".into(),
            why: format!("it wants them sent to «{}», which is no https address", tame(realm)),
        })
    }

    async fn token(
        &self,
        call: &Call<'_>,
        realm: Url,
        service: Option<&str>,
        scopes: &[&str],
        scope: &str,
    ) -> Result<Authorization, Fault> {
        let registry = call.repository.registry();
        let mut query: Vec<(&str, &str)> = service.map(|service| ("service", service)).into_iter().collect();
        let login = self.login(registry).await?;
        let http = self.http(&realm);
        let request = match &login {
            Some(Login::Identity(token)) => {
                let scope = scopes.join(" ");
                query.extend([
                    ("grant_type", "refresh_token"),
                    ("client_id", "run-wasm"),
                    ("scope", &scope),
                    ("refresh_token", token),
                ]);
                let form = with_query(&realm, &query).query().unwrap_or_default().to_owned();
                http.post(without_query(&realm))
                    .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                    .body(form)
            }
            login => {
                query.extend(scopes.iter().map(|scope| ("scope", *scope)));
                let request = http.get(with_query(&realm, &query));
                match login {
                    Some(Login::Password { user, password }) => request.basic_auth(user, Some(password)),
                    _ => request,
                }
            }
        };
        let response = self.patiently(request, &AtomicU64::new(0)).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST => {
                return Err(self.refused(call, response).await.into());
            }
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                let after = retry_after(response.headers(), SystemTime::now());
                let why = format!(" of its token server{}", self.complaint(response).await);
                return Err(Fault::Busy { status: status.as_u16(), why, after });
            }
            _ => return Err(self.unexpected(call, response).await.into()),
        }
        let answer = self.reader(response).whole(MAX_TOKEN).await?.unwrap_or_default();
        let (token, life) = Token::parse(&answer).ok_or_else(|| RegistryError::Hostile {
            registry: registry.into(),
            what: call.what.clone(),
            why: "its token server answers without a token".into(),
        })?;
        let authorization = Authorization::Bearer(token);
        self.wallet().put(registry, scope, authorization.clone(), Some(life));
        Ok(authorization)
    }
}

fn with_query(url: &Url, pairs: &[(&str, &str)]) -> Url {
    let mut url = url.clone();
    url.query_pairs_mut().extend_pairs(pairs);
    url
}

fn without_query(url: &Url) -> Url {
    let mut url = url.clone();
    url.set_query(None);
    url
}
