//! One HTTPS client over several addresses of one federation: requests, repeats, change of address.

use crate::session::Bearer;
use crate::sign::Signer;
use crate::{Error, Problem};
use bytes::Bytes;
use eport_identity::Lineage;
use eport_signature::Statement;
use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::OnceCell;

/// Largest answer that is read. 64 MiB; lists are paged and never come near it.
const ANSWER_LEN_MAX: usize = 64 << 20;
/// Longest wait for a connection before the next address is tried.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// First wait between two attempts; doubles up to `BACKOFF_MAX`.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
/// Longest wait between two attempts.
const BACKOFF_MAX: Duration = Duration::from_millis(800);

/// Where to call and how long to wait.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Addresses of nodes, `https://host:port`; the first that answers is used, the others when it stops.
    pub apis: Vec<String>,
    /// Longest time for one call with all its attempts. A read gives up a silent address after a part of it.
    pub timeout: Duration,
    /// Language of titles, hints and plans, as an `Accept-Language` value.
    pub language: &'static str,
}

/// What may be done when an attempt fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Repeat {
    /// Repeating cannot act twice: try again, also at another address, until the time is over.
    Safe,
    /// Repeating could act twice: try again only when the request was never sent.
    UnlessSent,
    /// One attempt: the caller keeps its own record of attempts.
    Never,
}

/// A successful answer before it is decoded.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body.
    pub body: Bytes,
    /// Address that answered.
    pub api: String,
}

/// A client of one federation's API. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    http: reqwest::Client,
    apis: Vec<String>,
    timeout: Duration,
    language: &'static str,
    current: AtomicUsize,
    pub(crate) signer: Option<Arc<Signer>>,
    pub(crate) bearer: Option<Arc<Bearer>>,
    pub(crate) behalf: Option<String>,
    pub(crate) purpose: Option<String>,
    lineage: Arc<OnceCell<Lineage>>,
}

/// One request, kept as data so that it can be sent again.
pub(crate) struct Call<'a> {
    pub method: Method,
    pub path: &'a str,
    pub query: &'a [(&'a str, String)],
    pub body: Body,
    pub repeat: Repeat,
    pub signature: Option<String>,
}

/// What a request carries.
pub(crate) enum Body {
    None,
    Json(Bytes),
    Ndjson(Bytes),
    Octets(Bytes),
    Table(crate::TableFile),
}

impl Client {
    /// A client with this TLS setup. At least one address is needed.
    pub fn new(settings: Settings, tls: rustls::ClientConfig) -> Result<Self, Error> {
        let setup = |detail: String| Error::Setup { detail, code: eport_model::codes::USAGE };
        if settings.apis.is_empty() {
            return Err(setup("no API address is known".into()));
        }
        for api in &settings.apis {
            let url =
                reqwest::Url::parse(api).map_err(|e| setup(format!("{api:?} is not an address: {e}")))?;
            if url.scheme() != "https" {
                return Err(setup(format!("{api:?} must start with https://")));
            }
        }
        let http = reqwest::Client::builder()
            .use_preconfigured_tls(tls)
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("eport/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| setup(format!("the HTTPS client cannot be set up: {}", innermost(&e))))?;
        let apis = settings.apis.iter().map(|a| a.trim_end_matches('/').to_owned()).collect();
        let Settings { timeout, language, .. } = settings;
        let inner = Inner {
            http,
            apis,
            timeout,
            language,
            current: AtomicUsize::new(0),
            signer: None,
            bearer: None,
            behalf: None,
            purpose: None,
            lineage: Arc::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The address in use.
    pub fn api(&self) -> &str {
        let at = self.inner.current.load(Ordering::Relaxed) % self.inner.apis.len();
        &self.inner.apis[at]
    }

    /// All addresses.
    pub fn apis(&self) -> &[String] {
        &self.inner.apis
    }

    /// A client that talks to one address only and shares the connections of this one.
    pub fn only(&self, api: &str) -> Client {
        self.changed(|inner| {
            inner.apis = vec![api.trim_end_matches('/').to_owned()];
            inner.current = AtomicUsize::new(0);
        })
    }

    /// This client with another limit of time for one call.
    pub fn with_timeout(&self, timeout: Duration) -> Client {
        self.changed(|inner| inner.timeout = timeout)
    }

    /// A copy with some part changed; connections stay shared.
    pub(crate) fn changed(&self, change: impl FnOnce(&mut Inner)) -> Client {
        let mut inner = Inner {
            http: self.inner.http.clone(),
            apis: self.inner.apis.clone(),
            timeout: self.inner.timeout,
            language: self.inner.language,
            current: AtomicUsize::new(self.inner.current.load(Ordering::Relaxed)),
            signer: self.inner.signer.clone(),
            bearer: self.inner.bearer.clone(),
            behalf: self.inner.behalf.clone(),
            purpose: self.inner.purpose.clone(),
            lineage: self.inner.lineage.clone(),
        };
        change(&mut inner);
        Client { inner: Arc::new(inner) }
    }

    /// Turns to the next address, unless somebody else has done so since `from` was in use.
    pub fn turn_from(&self, from: &str) {
        let at = self.inner.current.load(Ordering::Relaxed);
        if self.inner.apis[at % self.inner.apis.len()] == from {
            let next = (at + 1) % self.inner.apis.len();
            let _ = self.inner.current.compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Reads a resource.
    pub async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, String)]) -> Result<T, Error> {
        let call = Call {
            method: Method::GET,
            path,
            query,
            body: Body::None,
            repeat: Repeat::Safe,
            signature: None,
        };
        decode(path, self.call(call).await?)
    }

    /// Sends JSON and reads the answer.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + ?Sized),
        repeat: Repeat,
    ) -> Result<T, Error> {
        let call = Call {
            method: Method::POST,
            path,
            query: &[],
            body: Body::json(path, body)?,
            repeat,
            signature: None,
        };
        decode(path, self.call(call).await?)
    }

    /// Replaces a resource by JSON and reads the answer.
    pub async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + ?Sized),
        repeat: Repeat,
    ) -> Result<T, Error> {
        let call = Call {
            method: Method::PUT,
            path,
            query: &[],
            body: Body::json(path, body)?,
            repeat,
            signature: None,
        };
        decode(path, self.call(call).await?)
    }

    /// Ends a resource that needs no body.
    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        let (method, body, repeat) = (Method::DELETE, Body::None, Repeat::UnlessSent);
        decode(path, self.call(Call { method, path, query: &[], body, repeat, signature: None }).await?)
    }

    /// Sends a command that changes the federation, signed. It is repeated only when it was never sent.
    pub async fn give<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &(impl Serialize + ?Sized),
        statement: &Statement,
    ) -> Result<T, Error> {
        let signature = self.signature(Some(statement)).await?;
        let (body, repeat) = (Body::json(path, body)?, Repeat::UnlessSent);
        eport_failpoint::point!("call.before", path);
        let answer = self.call(Call { method, path, query: &[], body, repeat, signature }).await?;
        eport_failpoint::point!("call.after", path);
        decode(path, answer)
    }

    pub(crate) fn signer(&self) -> Option<&Signer> {
        self.inner.signer.as_deref()
    }

    pub(crate) fn lineage_cell(&self) -> &OnceCell<Lineage> {
        &self.inner.lineage
    }

    /// Sends a call, repeated as far as it allows and the time lasts.
    pub(crate) async fn call(&self, call: Call<'_>) -> Result<Answer, Error> {
        let deadline = Instant::now() + self.inner.timeout;
        let mut backoff = BACKOFF_MIN;
        let mut tried = 0usize;
        loop {
            let api = self.api().to_owned();
            tried += 1;
            let error = match self.attempt(&api, &call, deadline).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let again = match call.repeat {
                Repeat::Safe => error.may_retry(),
                Repeat::UnlessSent => matches!(error, Error::Unreachable { .. }),
                Repeat::Never => false,
            };
            if !again || Instant::now() + backoff >= deadline {
                return Err(error);
            }
            self.turn_from(&api);
            // A whole round failed: wait, so that a restarting federation is not hammered.
            if tried.is_multiple_of(self.inner.apis.len()) {
                tokio::time::sleep(jittered(backoff)).await;
                backoff = (backoff * 2).min(BACKOFF_MAX);
            }
        }
    }

    async fn attempt(&self, api: &str, call: &Call<'_>, deadline: Instant) -> Result<Answer, Error> {
        let left = deadline.saturating_duration_since(Instant::now());
        // With other addresses to ask, one that accepts connections but stays silent may cost half the time at most.
        let patience = match call.repeat {
            Repeat::Safe if self.inner.apis.len() > 1 => left / 2,
            _ => left,
        };
        let url = format!("{api}{}", call.path);
        let mut request = self
            .inner
            .http
            .request(call.method.clone(), url)
            .timeout(patience.max(Duration::from_millis(100)))
            .header("x-request-id", request_id())
            .header("accept-language", self.inner.language);
        if let Some(signature) = &call.signature {
            request = request.header(eport_signature::HEADER, signature);
        }
        if let Some(bearer) = &self.inner.bearer {
            request = request.header("authorization", bearer.header());
        }
        if let Some(enterprise) = &self.inner.behalf {
            request = request.header("eport-for", enterprise);
        }
        if let Some(purpose) = &self.inner.purpose {
            request = request.header("eport-purpose", purpose);
        }
        if !call.query.is_empty() {
            request = request.query(call.query);
        }
        let request = match &call.body {
            Body::None => request,
            Body::Json(bytes) => request.header("content-type", "application/json").body(bytes.clone()),
            Body::Octets(bytes) => {
                request.header("content-type", "application/octet-stream").body(bytes.clone())
            }
            Body::Ndjson(bytes) => request.header("content-type", "application/x-ndjson").body(bytes.clone()),
            Body::Table(file) => request.multipart(file.form()?),
        };
        let response = request.send().await.map_err(|e| transport_error(api, &e))?;
        let status = response.status();
        if let Some(bearer) = &self.inner.bearer {
            bearer.renewed(response.headers());
        }
        let body = read_body(api, call.path, response).await?;
        if status.is_success() {
            return Ok(Answer { status: status.as_u16(), body, api: api.to_owned() });
        }
        Err(Error::Problem(Box::new(Problem::read(status.as_u16(), &body))))
    }

    /// One look at a resource without judging the status: for health checks.
    pub async fn peek(&self, api: &str, path: &str, patience: Duration) -> Result<(u16, Bytes), Error> {
        let request = self.inner.http.get(format!("{api}{path}")).timeout(patience);
        let response = request.send().await.map_err(|e| transport_error(api, &e))?;
        let status: StatusCode = response.status();
        Ok((status.as_u16(), read_body(api, path, response).await?))
    }
}

impl Body {
    fn json(path: &str, body: &(impl Serialize + ?Sized)) -> Result<Self, Error> {
        serde_json::to_vec(body).map(|b| Body::Json(b.into())).map_err(|e| Error::Setup {
            detail: format!("the request for {path} cannot be written as JSON: {e}"),
            code: eport_model::codes::INTERNAL,
        })
    }
}

async fn read_body(api: &str, path: &str, mut response: reqwest::Response) -> Result<Bytes, Error> {
    let mut out = bytes::BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| transport_error(api, &e))? {
        if out.len() + chunk.len() > ANSWER_LEN_MAX {
            let detail = format!("it is longer than {ANSWER_LEN_MAX} bytes");
            return Err(Error::Answer { api: api.to_owned(), path: path.to_owned(), detail });
        }
        out.extend_from_slice(&chunk);
    }
    Ok(out.freeze())
}

/// Decodes a successful answer.
pub(crate) fn decode<T: DeserializeOwned>(path: &str, answer: Answer) -> Result<T, Error> {
    // An empty body stands for "nothing to say": it decodes into unit and Value.
    let bytes: &[u8] = if answer.body.is_empty() { b"null" } else { &answer.body };
    serde_json::from_slice(bytes).map_err(|e| Error::Answer {
        api: answer.api,
        path: path.to_owned(),
        detail: e.to_string(),
    })
}

fn transport_error(api: &str, error: &reqwest::Error) -> Error {
    let detail = innermost(error);
    let api = api.to_owned();
    if error.is_connect() || error.is_builder() {
        Error::Unreachable { api, detail }
    } else {
        Error::NoAnswer { api, detail: if error.is_timeout() { "the time is over".into() } else { detail } }
    }
}

/// The reason at the bottom: what an operator can act on ("connection refused", "certificate expired").
fn innermost(error: &dyn std::error::Error) -> String {
    let mut at = error;
    while let Some(source) = at.source() {
        at = source;
    }
    at.to_string()
}

fn request_id() -> String {
    format!("{:016x}", rand::random::<u64>())
}

fn jittered(base: Duration) -> Duration {
    base.mul_f64(rand::random_range(0.75..1.25))
}
