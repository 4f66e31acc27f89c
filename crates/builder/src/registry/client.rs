//! One conversation with registries: connections, who we are, and asking again.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use reqwest::redirect::Policy;
use reqwest::{Response, Url};
use tokio::sync::Mutex;

use super::auth::{Authorization, Wallet};
use super::body::{Counted, Reader, root_cause, unless_stalled};
use super::credentials::{self, Login};
use super::error::{RegistryError, tame};
use super::progress::{Progress, Teller};
use super::retry::{Attempts, Fault, Patience, retry_after};
use super::tls;
use crate::reference::Repository;

/// How registries are spoken to.
#[derive(Debug, Clone)]
pub struct Options {
    /// Registries (host and port) that are spoken to without TLS. Those on the loopback are, too, unless there is a
    /// `ca_file`.
    pub plain_http: BTreeSet<String>,
    /// Certificates (PEM) of authorities to believe besides this machine's own.
    pub ca_file: Option<PathBuf>,
    /// docker's folder with the `config.json`; by default `$DOCKER_CONFIG` or `~/.docker`.
    pub docker_config: Option<PathBuf>,
    pub patience: Patience,
    /// Blobs with more bytes than this are sent in pieces of this size, so that a broken upload goes on where it was.
    pub piece: usize,
    /// How many blobs are transferred at once.
    pub side_by_side: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            plain_http: BTreeSet::new(),
            ca_file: None,
            docker_config: None,
            patience: Patience::default(),
            piece: 16 << 20,
            side_by_side: 4,
        }
    }
}

/// A client of all registries; a clone is the same one.
#[derive(Debug, Clone)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    options: Options,
    /// By way of the proxy that the environment names.
    http: reqwest::Client,
    /// To the loopback, where no proxy leads.
    direct: reqwest::Client,
    config_json: Option<PathBuf>,
    logins: Mutex<HashMap<String, Option<Login>>>,
    wallet: Wallet,
    teller: Teller,
}

/// What a request does, as token servers are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Access {
    Pull,
    Push,
    /// To push what another repository (its path) has.
    Mount(String),
}

impl Access {
    fn scope(&self, repository: &Repository) -> String {
        let path = repository.path();
        match self {
            Access::Pull => format!("repository:{path}:pull"),
            Access::Push => format!("repository:{path}:pull,push"),
            Access::Mount(from) => format!("repository:{path}:pull,push repository:{from}:pull"),
        }
    }
}

/// A request that can be sent more than once.
#[derive(Debug, Clone)]
pub(super) struct Call<'a> {
    pub repository: &'a Repository,
    pub access: Access,
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// What it is for, as it completes «the registry refuses …».
    pub what: String,
}

impl<'a> Call<'a> {
    pub fn new(
        repository: &'a Repository,
        access: Access,
        method: Method,
        url: Url,
        what: impl Into<String>,
    ) -> Call<'a> {
        let what = what.into();
        Call { repository, access, method, url, headers: HeaderMap::new(), body: Bytes::new(), what }
    }

    pub fn header(mut self, name: http::HeaderName, value: &str) -> Result<Call<'a>, RegistryError> {
        let value = HeaderValue::from_str(value)
            .map_err(|_| RegistryError::Refused(format!("«{}» does not fit into a header", tame(value))))?;
        self.headers.insert(name, value);
        Ok(self)
    }
}

impl Client {
    /// # Errors
    /// A sentence with the file of certificates that cannot be used.
    pub fn new(options: Options, progress: Arc<dyn Progress>) -> Result<Client, RegistryError> {
        let tls = tls::config(options.ca_file.as_deref())?;
        let builder = || {
            reqwest::Client::builder()
                .tls_backend_preconfigured(tls.clone())
                .user_agent(concat!("run-wasm/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(Duration::from_secs(10).min(options.patience.stall))
                .redirect(Policy::custom(follow))
                .referer(false)
        };
        let made = |builder: reqwest::ClientBuilder| {
            builder.build().map_err(|error| RegistryError::Refused(root_cause(&error)))
        };
        let folder = options.docker_config.clone().or_else(credentials::docker_folder);
        Ok(Client(Arc::new(Inner {
            http: made(builder())?,
            direct: made(builder().no_proxy())?,
            config_json: folder.map(|folder| folder.join("config.json")),
            logins: Mutex::default(),
            wallet: Wallet::default(),
            teller: Teller(progress),
            options,
        })))
    }

    pub(super) fn options(&self) -> &Options {
        &self.0.options
    }

    pub(super) fn teller(&self) -> &Teller {
        &self.0.teller
    }

    fn is_plain(&self, repository: &Repository) -> bool {
        let options = &self.0.options;
        options.plain_http.contains(repository.registry())
            || repository.is_loopback() && options.ca_file.is_none()
    }

    /// An address of the repository's: `rest` is what follows `/v2/<name>/`.
    pub(super) fn url(&self, repository: &Repository, rest: &str) -> Result<Url, RegistryError> {
        let scheme = if self.is_plain(repository) { "http" } else { "https" };
        let text = format!("{scheme}://{}/v2/{}/{rest}", repository.registry(), repository.path());
        Url::parse(&text)
            .map_err(|error| RegistryError::Refused(format!("{} is no address: {error}", tame(&text))))
    }

    /// Where an answer says to go on. Never from TLS to plain text.
    pub(super) fn follow(
        &self,
        call: &Call<'_>,
        response: &Response,
        to: &str,
    ) -> Result<Url, RegistryError> {
        let hostile = |why: String| RegistryError::Hostile {
            registry: call.repository.registry().into(),
            what: call.what.clone(),
            why,
        };
        let url = response.url().join(to).map_err(|_| hostile(format!("it sends us to «{}»", tame(to))))?;
        let downgrades = url.scheme() != "https" && !self.is_plain(call.repository);
        if downgrades || !matches!(url.scheme(), "http" | "https") {
            return Err(hostile(format!(
                "it sends us from https to {}: its configuration must name its external address",
                url.scheme()
            )));
        }
        Ok(url)
    }

    pub(super) fn attempts<'a>(
        &'a self,
        repository: &'a Repository,
        what: impl Into<String>,
    ) -> Attempts<'a> {
        Attempts::new(self.0.options.patience, &self.0.teller, repository.registry(), what.into())
    }

    /// Sends until there is an answer that is not «later».
    pub(super) async fn send(&self, call: &Call<'_>) -> Result<Response, RegistryError> {
        let mut attempts = self.attempts(call.repository, call.what.clone());
        loop {
            match self.once(call).await {
                Ok(response) => return Ok(response),
                Err(fault) => attempts.after(fault).await?,
            }
        }
    }

    /// The same, with the body of a success; of other answers, an error. `Ok(None)`: 404.
    pub(super) async fn fetch(
        &self,
        call: &Call<'_>,
        limit: u64,
    ) -> Result<Option<(HeaderMap, Bytes)>, RegistryError> {
        let mut attempts = self.attempts(call.repository, call.what.clone());
        loop {
            match self.fetch_once(call, limit).await {
                Ok(answer) => return Ok(answer),
                Err(fault) => attempts.after(fault).await?,
            }
        }
    }

    async fn fetch_once(&self, call: &Call<'_>, limit: u64) -> Result<Option<(HeaderMap, Bytes)>, Fault> {
        let response = self.once(call).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        if response.status() != StatusCode::OK {
            return Err(self.unexpected(call, response).await.into());
        }
        let headers = response.headers().clone();
        let body = self.reader(response).whole(limit).await?;
        let body = body.ok_or_else(|| RegistryError::Hostile {
            registry: call.repository.registry().into(),
            what: call.what.clone(),
            why: format!("its answer has more than {limit} bytes"),
        })?;
        Ok(Some((headers, body)))
    }

    pub(super) fn reader(&self, response: Response) -> Reader {
        Reader::new(response, self.0.options.patience.stall)
    }

    /// One attempt: shows who we are when it is asked for.
    pub(super) async fn once(&self, call: &Call<'_>) -> Result<Response, Fault> {
        let registry = call.repository.registry();
        let scope = call.access.scope(call.repository);
        let mut authorization = self.0.wallet.get(registry, &scope);
        let mut is_fresh = false;
        loop {
            let response = self.transmit(call, authorization.as_ref()).await?;
            let status = response.status();
            // A challenge of another host, where a redirect led, is none of the registry's.
            let is_own = response.url().origin() == call.url.origin();
            match status {
                StatusCode::UNAUTHORIZED if is_own && !is_fresh => {
                    authorization = Some(self.authorize(call, &scope, response).await?);
                    is_fresh = true;
                }
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if is_own => {
                    return Err(self.refused(call, response).await.into());
                }
                StatusCode::REQUEST_TIMEOUT
                | StatusCode::TOO_MANY_REQUESTS
                | StatusCode::INTERNAL_SERVER_ERROR
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT => {
                    let after = retry_after(response.headers(), SystemTime::now());
                    let why = self.complaint(response).await;
                    return Err(Fault::Busy { status: status.as_u16(), why, after });
                }
                _ => return Ok(response),
            }
        }
    }

    async fn transmit(
        &self,
        call: &Call<'_>,
        authorization: Option<&Authorization>,
    ) -> Result<Response, Fault> {
        let taken = Arc::new(AtomicU64::new(0));
        let mut request = self.http(&call.url).request(call.method.clone(), call.url.clone());
        request = request.headers(call.headers.clone());
        // Who we are is nothing for another host, wherever the registry sends us.
        let own = self.url(call.repository, "")?.origin();
        request = match authorization.filter(|_| call.url.origin() == own) {
            Some(Authorization::Basic { user, password }) => request.basic_auth(user, Some(password)),
            Some(Authorization::Bearer(token)) => request.bearer_auth(token),
            None => request,
        };
        if !call.body.is_empty() {
            request = request.body(reqwest::Body::wrap(Counted::new(call.body.clone(), taken.clone())));
        } else if !matches!(call.method, Method::GET | Method::HEAD) {
            request = request.header(CONTENT_LENGTH, 0);
        }
        self.patiently(request, &taken).await
    }

    /// Sends a request, and tells faults of the connection from those that stay.
    pub(super) async fn patiently(
        &self,
        request: reqwest::RequestBuilder,
        taken: &AtomicU64,
    ) -> Result<Response, Fault> {
        let answer = unless_stalled(request.send(), taken, self.0.options.patience.stall).await?;
        answer.map_err(|error| match tls::refusal(&error) {
            Some(why) => {
                let registry = host_of(&error);
                Fault::Final(RegistryError::Unreachable { registry, why })
            }
            None if error.is_redirect() || error.is_builder() => {
                let (registry, why) = (host_of(&error), root_cause(&error));
                Fault::Final(RegistryError::Hostile { registry, what: "this request".into(), why })
            }
            None if error.is_connect() => Fault::Unreachable(root_cause(&error)),
            None => Fault::Lost(root_cause(&error)),
        })
    }

    /// Passes by the proxy on the way to the loopback.
    pub(super) fn http(&self, url: &Url) -> &reqwest::Client {
        let is_loopback = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        if is_loopback { &self.0.direct } else { &self.0.http }
    }

    pub(super) fn wallet(&self) -> &Wallet {
        &self.0.wallet
    }

    /// Who we are for a registry; asked of docker's config, or of the helper it names, once.
    pub(super) async fn login(&self, registry: &str) -> Result<Option<Login>, RegistryError> {
        let mut logins = self.0.logins.lock().await;
        if let Some(known) = logins.get(registry) {
            return Ok(known.clone());
        }
        let found = match self.0.config_json.clone() {
            None => None,
            Some(file) => {
                let name = registry.to_owned();
                let reading = tokio::task::spawn_blocking(move || credentials::login(&file, &name));
                reading.await.map_err(|error| RegistryError::Refused(error.to_string()))??
            }
        };
        logins.insert(registry.into(), found.clone());
        Ok(found)
    }

    /// Why a registry that knows who we are, or that nobody, will not.
    pub(super) async fn refused(&self, call: &Call<'_>, response: Response) -> RegistryError {
        let status = response.status();
        let why = self.complaint(response).await;
        let registry = call.repository.registry();
        let file = self
            .0
            .config_json
            .as_ref()
            .map_or("docker's config.json".into(), |file| file.display().to_string());
        let has_login = match self.login(registry).await {
            Ok(login) => login.is_some(),
            Err(error) => return error,
        };
        let cure = match (has_login, status == StatusCode::FORBIDDEN) {
            (false, _) => format!("{file} has no credentials for it, `docker login {registry}` adds them"),
            (true, false) => format!(
                "the credentials for it that {file} has or names are wrong or have expired, `docker login {registry}` renews them"
            ),
            (true, true) => {
                format!("the account that {file} names for it may not do this, ask its owner for the right")
            }
        };
        RegistryError::Unauthorized { registry: registry.into(), what: call.what.clone(), why, cure }
    }

    /// The error for an answer that nobody expects.
    pub(super) async fn unexpected(&self, call: &Call<'_>, response: Response) -> RegistryError {
        let (registry, what) = (call.repository.registry().to_owned(), call.what.clone());
        let status = response.status().as_u16();
        RegistryError::Status { registry, what, status, why: self.complaint(response).await }
    }

    /// What the registry says of its own, in parentheses; empty when it says nothing.
    pub(super) async fn complaint(&self, response: Response) -> String {
        const LIMIT: u64 = 64 << 10;
        #[derive(serde::Deserialize)]
        struct Complaints {
            errors: Vec<Complaint>,
        }
        #[derive(serde::Deserialize)]
        struct Complaint {
            #[serde(default)]
            code: String,
            #[serde(default)]
            message: String,
        }
        // What cannot be read is no more than left out of a sentence that is told anyway.
        let bytes = self.reader(response).whole(LIMIT).await.ok().flatten().unwrap_or_default();
        let complaints: Option<Complaints> = serde_json::from_slice(&bytes).ok();
        match complaints.and_then(|complaints| complaints.errors.into_iter().next()) {
            Some(Complaint { code, message }) => format!(" ({})", tame(&format!("{code}: {message}"))),
            None => String::new(),
        }
    }
}

fn host_of(error: &reqwest::Error) -> String {
    error.url().map_or_else(|| "the registry".into(), |url| url.authority().to_owned())
}

/// A few redirects, none of them from TLS to plain text. Others' hosts are not told who we are: reqwest sees to it.
fn follow(attempt: reqwest::redirect::Attempt<'_>) -> reqwest::redirect::Action {
    const MOST: usize = 5;
    let was_safe = attempt.previous().last().is_some_and(|url| url.scheme() == "https");
    if attempt.previous().len() > MOST {
        attempt.error("it redirects again and again")
    } else if was_safe && attempt.url().scheme() != "https" {
        attempt.error("it redirects from https to plain text, which is not followed")
    } else {
        attempt.follow()
    }
}
