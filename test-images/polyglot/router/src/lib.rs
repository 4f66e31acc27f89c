//! The way in: it takes the token from the request, has it checked, and answers with the page that was rendered. It knows
//! neither the secret nor HTML.

use std::time::{SystemTime, UNIX_EPOCH};

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    Fields, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

use run_wasm::demo::auth::{self, Refusal};
use run_wasm::demo::pages::{self, Visit};

wit_bindgen::generate!({ path: "../wit", world: "router" });

struct Router;

wasip2::http::proxy::export!(Router);

impl Guest for Router {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        Response::to(&request).send(out);
    }
}

struct Response {
    status: u16,
    headers: &'static [(&'static str, &'static str)],
    body: String,
}

impl Response {
    fn to(request: &IncomingRequest) -> Self {
        if !matches!(request.method(), Method::Get) {
            return Self::text(405, &[("allow", "GET")], "This server answers GET alone.");
        }
        let Some(token) = bearer_token(request) else {
            return Self::unauthorized(
                "This page is for those with a token: send it as Authorization: Bearer TOKEN.",
            );
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |gone| gone.as_secs());
        match auth::check(&token, now) {
            Ok(claims) => Self::page(&Visit {
                subject: claims.subject,
                path: request.path_with_query().unwrap_or_default(),
                minutes_left: claims.expires.saturating_sub(now) / 60,
            }),
            Err(Refusal::NoSecret) => {
                Self::text(500, &[], "The server has no JWT_SECRET to check tokens with.")
            }
            Err(Refusal::Malformed) => Self::unauthorized(
                "The token is no JSON Web Token with a subject and an expiry, signed by HS256.",
            ),
            Err(Refusal::Forged) => Self::unauthorized("The token's signature is not right."),
            Err(Refusal::Expired) => Self::unauthorized("The token has expired."),
            Err(Refusal::Early) => Self::unauthorized("The token is not valid yet."),
        }
    }

    fn page(visit: &Visit) -> Self {
        Self {
            status: 200,
            // The page is this visitor's: no cache on the way may keep it.
            headers: &[("content-type", "text/html; charset=utf-8"), ("cache-control", "no-store")],
            body: pages::render(visit),
        }
    }

    fn unauthorized(sentence: &str) -> Self {
        Self::text(401, &[("www-authenticate", "Bearer")], sentence)
    }

    fn text(status: u16, headers: &'static [(&'static str, &'static str)], sentence: &str) -> Self {
        Self { status, headers, body: format!("{sentence}\n") }
    }

    fn send(self, out: ResponseOutparam) {
        let fields = Fields::new();
        for (name, value) in self.headers {
            fields.append(name, value.as_bytes()).expect("a right header");
        }
        if !fields.has("content-type") {
            fields.append("content-type", b"text/plain; charset=utf-8").expect("a right header");
        }
        let response = OutgoingResponse::new(fields);
        response.set_status_code(self.status).expect("a right status");
        let body = response.body().expect("a fresh response");
        ResponseOutparam::set(out, Ok(response));
        let stream = body.write().expect("a fresh body");
        // 4096 bytes are what one write may take.
        for part in self.body.as_bytes().chunks(4096) {
            if stream.blocking_write_and_flush(part).is_err() {
                return;
            }
        }
        drop(stream);
        let _vanished = OutgoingBody::finish(body, None);
    }
}

/// RFC 6750, 2.1; the scheme's case does not matter (RFC 9110, 11.1).
fn bearer_token(request: &IncomingRequest) -> Option<String> {
    let header = request.headers().get("authorization").into_iter().next()?;
    let header = String::from_utf8(header).ok()?;
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}
