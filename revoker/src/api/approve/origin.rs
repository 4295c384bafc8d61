//! Under which name a page is shown, and where its form was posted from, as far as the browser says.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};

use crate::api::Api;
use crate::api::caller::text_header;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether nothing says that the form was posted from elsewhere.
///
/// A browser sends at least one of the two headers with a form, and no page can forge them; programs that walk the page
/// without a browser may send neither, and are not what a forged request comes from. `Origin` must be this server: by the
/// name in the configuration, or by the name the browser itself asked for.
pub(in crate::api) fn is_own(headers: &HeaderMap, public_url: &str) -> bool {
    let site = !headers.contains_key(&SEC_FETCH_SITE)
        || text_header(headers, &SEC_FETCH_SITE) == Some("same-origin");
    let origin = !headers.contains_key(header::ORIGIN)
        || text_header(headers, &header::ORIGIN).is_some_and(|origin| {
            origin == origin_of(public_url) || authority_of(origin) == text_header(headers, &header::HOST)
        });
    site && origin
}

/// Shows a page of this machine under its public name, where the browser asked for another that leads here as well: a passkey is
/// for one name.
pub(in crate::api) async fn by_public_name(State(api): State<Api>, request: Request, next: Next) -> Response {
    let host = text_header(request.headers(), &header::HOST).unwrap_or_default();
    if request.method() == Method::GET && is_other_loopback(host, &api.public_url) {
        // Never an authority of the request's own, which its target may hold.
        let page = request.uri().path_and_query().map_or("/", |page| page.as_str());
        return Redirect::temporary(&format!("{}{page}", api.public_url)).into_response();
    }
    next.run(request).await
}

/// Whether `host` is the same port of this machine as the public address, by another of its names. Another port would be a proxy's
/// business, which may ask under a name of its own making.
fn is_other_loopback(host: &str, public_url: &str) -> bool {
    let here = |authority: &'_ str| {
        let (name, port) = authority.rsplit_once(':')?;
        ["localhost", "127.0.0.1", "[::1]"].contains(&name).then(|| port.to_owned())
    };
    let public = authority_of(origin_of(public_url)).unwrap_or_default();
    host != public && here(host).is_some_and(|port| here(public) == Some(port))
}

/// Scheme and authority of an address.
fn origin_of(url: &str) -> &str {
    let authority = url.find("://").map_or(0, |at| at + 3);
    let end = url[authority..].find('/').map_or(url.len(), |at| authority + at);
    &url[..end]
}

fn authority_of(origin: &str) -> Option<&str> {
    origin.split_once("://").map(|(_, authority)| authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(pairs: &[(&'static str, &'static str)]) -> bool {
        let headers = pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), header::HeaderValue::from_static(value)))
            .collect();
        is_own(&headers, "https://tocsin.example/base")
    }

    #[test]
    fn one_machine_has_several_names() {
        let here = "http://localhost:7700";
        for (host, public, is_other) in [
            ("127.0.0.1:7700", here, true),
            ("[::1]:7700", here, true),
            ("localhost:7700", "http://127.0.0.1:7700", true),
            ("localhost:7700", here, false),
            ("127.0.0.1:7701", here, false),
            ("127.0.0.1", here, false),
            ("evil.example:7700", here, false),
            ("127.0.0.1:7700", "https://tocsin.example", false),
            ("", here, false),
        ] {
            assert_eq!(is_other_loopback(host, public), is_other, "{host} of {public}");
        }
    }

    #[test]
    fn a_form_from_elsewhere_is_told() {
        let host = ("host", "10.0.0.7:7700");
        assert!(own(&[host]), "no browser");
        assert!(own(&[host, ("sec-fetch-site", "same-origin"), ("origin", "https://tocsin.example")]));
        assert!(own(&[host, ("origin", "http://10.0.0.7:7700")]), "reached by another name of this server");
        for (name, value) in [
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("origin", "https://tocsin.example.evil.example"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            assert!(!own(&[host, (name, value)]), "{name}: {value}");
        }
        assert!(!own(&[host, ("origin", "https://tocsin.example"), ("origin", "https://evil.example")]));
    }
}
