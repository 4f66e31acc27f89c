//! `http URL`: a GET by wasi:http. Prints `status N` and then the body, or `error: CODE` and fails.

use guests_p3::{arguments, conclude, print};
use wasip3::http::client;
use wasip3::http::types::{Fields, Request, Response, Scheme};
use wasip3::wit_future;

/// Splits `scheme://authority/path`; the path is `/` where there is none.
fn request(url: &str) -> Result<Request, String> {
    let (scheme, rest) = url.split_once("://").ok_or_else(|| format!("{url} is not a URL"))?;
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    };
    let (authority, path) = rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash));
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (request, _) = Request::new(Fields::new(), None, trailers, None);
    let refused = |what: &str| format!("{what} of {url} is invalid");
    request.set_scheme(Some(&scheme)).map_err(|()| refused("the scheme"))?;
    request.set_authority(Some(authority)).map_err(|()| refused("the authority"))?;
    request.set_path_with_query(Some(path)).map_err(|()| refused("the path"))?;
    Ok(request)
}

async fn get(url: &str) -> Result<(u16, Vec<u8>), String> {
    let response = client::send(request(url)?).await.map_err(|code| format!("{code:?}"))?;
    let status = response.get_status_code();
    let (_, consumed) = wit_future::new(|| Ok(()));
    let (body, trailers) = Response::consume_body(response, consumed);
    let body = body.collect().await;
    trailers.await.map_err(|code| format!("{code:?}"))?;
    Ok((status, body))
}

async fn run() -> Result<(), ()> {
    let url = arguments().into_iter().next().expect("usage: http URL");
    match get(&url).await {
        Ok((status, body)) => {
            print(format!("status {status}\n")).await?;
            print(body).await
        }
        Err(error) => conclude(Err(error)).await,
    }
}

guests_p3::command!(run);
