//! What every request must get past, and what every answer says to a browser.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::Response;

use super::App;
use super::access::{Peer, Viewer};
use super::failure::Failure;
use super::page;

/// Bytes of a request's path.
const LONGEST_PATH: usize = 256;

/// Bytes of what is behind its question mark.
const LONGEST_QUERY: usize = 1024;

/// What a browser may do with an answer that has said nothing else: show it, with our own style and script.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; frame-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Lets a request on with its [`Viewer`], or answers it.
pub async fn guard(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let uri = request.uri().clone();
    let mut response = match judge(&app, &request) {
        Ok(viewer) => {
            request.extensions_mut().insert(viewer);
            next.run(request).await
        }
        Err(failure) => page::failure_for(&uri, failure),
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // with no-referrer a browser would not say either where a form comes from
        (header::REFERRER_POLICY, "same-origin"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-store"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    response
}

fn judge(app: &App, request: &Request) -> Result<Viewer, Failure> {
    bounded(request.uri())?;
    let headers = request.headers();
    let peer = *request
        .extensions()
        .get::<Peer>()
        .ok_or_else(|| Failure::forbidden("it is not known who asks"))?;
    let host = host(request.uri(), headers)?;
    if peer == Peer::Tcp {
        if !app.access.is_our_name(host) {
            return Err(Failure::forbidden(format!(
                "{host:?} is not a name of this service; call it localhost, or add the name to the configuration \
                 (protection against DNS rebinding)"
            )));
        }
        let authorization = headers.get(header::AUTHORIZATION);
        if !app
            .access
            .is_authorized(authorization.map(HeaderValue::as_bytes))
        {
            return Err(Failure::new(
                StatusCode::UNAUTHORIZED,
                "the token is needed: `Authorization: Bearer TOKEN`, or as the password of any user name",
            ));
        }
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        same_origin(host, headers)?;
    }
    Ok(Viewer::of(peer))
}

/// Our addresses are short and plain; whatever is not is none of them.
fn bounded(uri: &Uri) -> Result<(), Failure> {
    let path = uri.path();
    let query = uri.query().unwrap_or_default();
    if path.len() > LONGEST_PATH || query.len() > LONGEST_QUERY {
        return Err(Failure::new(
            StatusCode::URI_TOO_LONG,
            format!(
                "an address has at most {LONGEST_PATH} bytes, and {LONGEST_QUERY} behind its `?`"
            ),
        ));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    if !path.bytes().all(plain) {
        return Err(Failure::missing("there is nothing of this name"));
    }
    Ok(())
}

/// As which machine, and port, we are called. One answer only.
fn host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Result<&'a str, Failure> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok(),
        _ => None,
    };
    let host = host.ok_or_else(|| Failure::bad("a request must have one Host header"))?;
    match uri.authority() {
        Some(authority) if authority.as_str() != host => Err(Failure::bad(
            "the request's address and its Host header differ",
        )),
        _ => Ok(host),
    }
}

/// What changes something must come from our own page, or from something that is no browser.
fn same_origin(host: &str, headers: &HeaderMap) -> Result<(), Failure> {
    let ours = |origin: &HeaderValue| {
        let origin = origin.to_str().unwrap_or_default();
        let authority = origin
            .strip_prefix("http://")
            .or_else(|| origin.strip_prefix("https://"));
        authority == Some(host)
    };
    let from_here = headers.get_all(header::ORIGIN).iter().all(ours);
    let site = headers.get("sec-fetch-site");
    let fetched_here = site.is_none_or(|site| site == "same-origin" || site == "none");
    if from_here && fetched_here {
        return Ok(());
    }
    Err(Failure::forbidden(
        "a page of somebody else's may not ask for this",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_request_has_one_host() {
        let plain = Uri::from_static("/");
        let of = |uri: &Uri, pairs| host(uri, &headers(pairs)).map(str::to_owned).ok();
        assert_eq!(of(&plain, &[("host", "a:1")]).as_deref(), Some("a:1"));
        assert_eq!(of(&plain, &[]), None);
        assert_eq!(of(&plain, &[("host", "a"), ("host", "a")]), None);
        let absolute = Uri::from_static("http://evil.example/");
        assert_eq!(of(&absolute, &[("host", "localhost")]), None);
        assert!(of(&absolute, &[("host", "evil.example")]).is_some());
    }

    #[test]
    fn only_our_own_page_may_change_things() {
        for (pairs, expected) in [
            (&[][..], true),
            (&[("origin", "http://localhost:7070")], true),
            (&[("origin", "https://localhost:7070")], true),
            (&[("origin", "http://localhost:7071")], false),
            (&[("origin", "http://evil.example")], false),
            (&[("origin", "null")], false),
            (&[("origin", "")], false),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "same-site")], false),
            (
                &[
                    ("sec-fetch-site", "same-origin"),
                    ("origin", "http://localhost:7070"),
                ],
                true,
            ),
            (&[("sec-fetch-site", "none")], true),
        ] {
            let result = same_origin("localhost:7070", &headers(pairs));
            assert_eq!(result.is_ok(), expected, "{pairs:?}");
        }
    }

    #[test]
    fn odd_addresses_are_nowhere() {
        assert!(bounded(&Uri::from_static("/api/v1/recordings/a-b.c_d?pid=1%20")).is_ok());
        for odd in ["/%2e%2e/etc", "/a%00", "/a;b", "/~", "/a//%"] {
            let Ok(uri) = odd.parse::<Uri>() else {
                continue;
            };
            assert!(bounded(&uri).is_err(), "{odd}");
        }
        let long: Uri = format!("/{}", "a".repeat(LONGEST_PATH)).parse().unwrap();
        assert_eq!(bounded(&long).unwrap_err().status, StatusCode::URI_TOO_LONG);
        let long: Uri = format!("/?{}", "a".repeat(LONGEST_QUERY + 1))
            .parse()
            .unwrap();
        assert_eq!(bounded(&long).unwrap_err().status, StatusCode::URI_TOO_LONG);
    }
}
