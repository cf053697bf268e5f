//! An endpoint as configured, checked once, and shown without its secrets.

use std::fmt;

use reqwest::{
    Url,
    header::{HeaderMap, HeaderName, HeaderValue},
};

/// Where requests are sent to, as an operator writes it.
#[derive(Clone, PartialEq, Eq)]
pub struct EndpointConfig {
    /// An `http` or `https` URL. A user and password in it become basic authentication; a query
    /// goes along with every request.
    pub url: String,
    /// Sent with every request.
    pub headers: Vec<(String, String)>,
}

impl EndpointConfig {
    /// An endpoint without headers of its own.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), headers: Vec::new() }
    }
}

impl fmt::Debug for EndpointConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("EndpointConfig")
            .field("url", &shown(&self.url))
            .field("headers", &names)
            .finish()
    }
}

/// What is wrong with a configured endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("endpoint {index} ({shown}) {problem}")]
pub struct EndpointProblem {
    /// Position in the list of endpoints, from 0.
    pub index: usize,
    /// The URL as far as it is no secret.
    pub shown: String,
    /// What is wrong, to follow the URL in a sentence.
    pub problem: String,
}

/// An endpoint that requests can be sent to.
#[derive(Clone)]
pub(crate) struct Endpoint {
    url: Url,
    pub(crate) headers: HeaderMap,
    /// Scheme, host and port.
    pub(crate) shown: String,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl Endpoint {
    pub(crate) fn parse(index: usize, config: &EndpointConfig) -> Result<Self, EndpointProblem> {
        let shown = shown(&config.url);
        let problem = |problem| EndpointProblem { index, shown: shown.clone(), problem };
        let url = parse_url(&config.url).map_err(problem)?;
        let headers = parse_headers(&config.headers).map_err(problem)?;
        Ok(Self { url, headers, shown })
    }

    /// The endpoint's URL with `path` (and a query, if it has one) appended to its path; there is
    /// always one slash between the two.
    pub(crate) fn url_of(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        if path.is_empty() {
            return url;
        }
        let (path, query) = match path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path, None),
        };
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/{}", path.trim_start_matches('/')));
        match (url.query().map(str::to_owned), query) {
            (Some(own), Some(query)) => url.set_query(Some(&format!("{own}&{query}"))),
            (None, Some(query)) => url.set_query(Some(query)),
            (Some(_) | None, None) => {}
        }
        url
    }

    /// The URL of the object at `path`, whose parts may hold any character.
    pub(crate) fn url_of_object(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path.split('/'));
        }
        url
    }
}

fn parse_url(text: &str) -> Result<Url, String> {
    if text.trim().is_empty() {
        return Err("is empty".to_owned());
    }
    let url = Url::parse(text).map_err(|error| {
        let hint =
            if text.contains("://") { "" } else { "; it must begin with http:// or https://" };
        format!("is not a URL: {error}{hint}")
    })?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        _ => Err("must begin with http:// or https://".to_owned()),
    }
}

fn parse_headers(headers: &[(String, String)]) -> Result<HeaderMap, String> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let key = HeaderName::from_bytes(name.as_bytes())
            .map_err(|error| format!("has a header with a bad name {name:?}: {error}"))?;
        let mut value = HeaderValue::from_str(value)
            .map_err(|error| format!("has a bad value for its header {name}: {error}"))?;
        value.set_sensitive(true);
        map.append(key, value);
    }
    Ok(map)
}

/// `url` without what may be a secret: scheme, host and port. Also of what is no URL at all.
pub(crate) fn shown(url: &str) -> String {
    const CHARS_MAX: usize = 100;
    if let Ok(parsed) = Url::parse(url)
        && let Some(host) = parsed.host_str()
    {
        let port = parsed.port().map(|port| format!(":{port}")).unwrap_or_default();
        return format!("{}://{host}{port}", parsed.scheme());
    }
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), url),
    };
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    scheme.chars().chain(host.chars()).take(CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(url: &str) -> Endpoint {
        Endpoint::parse(0, &EndpointConfig::new(url)).unwrap()
    }

    #[test]
    fn only_scheme_host_and_port_are_shown() {
        for (url, expected) in [
            ("https://user:pass@example.com/v2/KEY?token=KEY#KEY", "https://example.com"),
            ("http://[::1]:3050/KEY", "http://[::1]:3050"),
            ("example.com/KEY", "example.com"),
            ("KEY@example.com:80", "example.com:80"),
            ("https//example.com/KEY", "https"),
            ("https://exa mple.com/KEY", "https://exa mple.com"),
            ("", ""),
        ] {
            assert_eq!(shown(url), expected, "{url}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_the_place_and_without_the_secret() {
        for (url, problem) in [
            ("", "is empty"),
            ("example.com/KEY", "must begin with http:// or https://"),
            ("localhost:3050", "must begin with http:// or https://"),
            ("ftp://example.com/KEY", "must begin with http:// or https://"),
            ("http://example.com:99999/KEY", "invalid port"),
            ("http://exa mple.com/KEY", "invalid"),
            ("http:///", "empty host"),
        ] {
            let error = Endpoint::parse(3, &EndpointConfig::new(url)).unwrap_err();
            let text = error.to_string();
            assert!(text.starts_with("endpoint 3 ("), "{text}");
            assert!(text.contains(problem), "{url}: {text}");
            assert!(!text.contains("KEY"), "{text}");
        }
    }

    #[test]
    fn a_bad_header_is_named_without_its_value() {
        let mut config = EndpointConfig::new("http://example.com");
        config.headers = vec![("x-key".to_owned(), "SECRET\n".to_owned())];
        let text = Endpoint::parse(0, &config).unwrap_err().to_string();
        assert!(text.contains("x-key") && !text.contains("SECRET"), "{text}");
        config.headers = vec![("no space".to_owned(), String::new())];
        let text = Endpoint::parse(0, &config).unwrap_err().to_string();
        assert!(text.contains("no space"), "{text}");
    }

    #[test]
    fn debug_shows_no_secret() {
        let config = EndpointConfig {
            url: "https://u:SECRET@example.com/SECRET?k=SECRET".to_owned(),
            headers: vec![("x-key".to_owned(), "SECRET".to_owned())],
        };
        let endpoint = Endpoint::parse(0, &config).unwrap();
        let text = format!("{config:?} {endpoint:?} {:?}", endpoint.headers);
        assert!(text.contains("example.com") && text.contains("x-key"), "{text}");
        assert!(!text.contains("SECRET"), "{text}");
    }

    #[test]
    fn a_path_is_appended_and_the_query_stays() {
        for (base, path, expected) in [
            ("http://h", "", "http://h/"),
            ("http://h/v2/KEY", "", "http://h/v2/KEY"),
            ("http://h/v2/", "x/y", "http://h/v2/x/y"),
            ("http://h/v2", "/x", "http://h/v2/x"),
            ("http://h/v2?k=1", "x", "http://h/v2/x?k=1"),
            ("http://h/v2?k=1", "x?l=2", "http://h/v2/x?k=1&l=2"),
            ("http://h", "x?l=2", "http://h/x?l=2"),
        ] {
            assert_eq!(endpoint(base).url_of(path).as_str(), expected, "{base} + {path}");
        }
    }

    #[test]
    fn an_object_path_is_escaped() {
        let url = endpoint("http://h/base/").url_of_object("dir/a b?c#d");
        assert_eq!(url.as_str(), "http://h/base/dir/a%20b%3Fc%23d");
    }
}
