//! Cookies of one run, kept from answer to answer.

use http::{
    HeaderMap, HeaderValue,
    header::{COOKIE, SET_COOKIE},
};
use url::Url;

/// How many cookies are kept, and how long one may be in bytes.
const COOKIES_LIMIT: usize = 50;
const COOKIE_LIMIT: usize = 4096;

/// Cookies, each for the host that set it. Their paths and dates do not matter within one run.
#[derive(Default)]
pub(crate) struct Jar {
    cookies: Vec<Cookie>,
}

struct Cookie {
    host: String,
    name: String,
    value: String,
}

// === impl Jar ===

impl Jar {
    /// Keeps what an answer from `url` sets.
    pub(crate) fn take_from(&mut self, headers: &HeaderMap, url: &Url) {
        let host = url.host_str().unwrap_or_default();
        for text in headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok()) {
            let pair = text.split(';').next().unwrap_or_default();
            let Some((name, value)) = pair.split_once('=').filter(|_| pair.len() <= COOKIE_LIMIT) else { continue };
            self.cookies.retain(|cookie| cookie.host != host || cookie.name != name.trim());
            if self.cookies.len() < COOKIES_LIMIT {
                let (name, value) = (name.trim().to_owned(), value.trim().to_owned());
                self.cookies.push(Cookie { host: host.to_owned(), name, value });
            }
        }
    }

    /// Adds those of the host to a request to `url`.
    pub(crate) fn add_to(&self, headers: &mut HeaderMap, url: &Url) {
        let mine = self.cookies.iter().filter(|cookie| Some(cookie.host.as_str()) == url.host_str());
        let pairs: Vec<_> = mine.map(|Cookie { name, value, .. }| format!("{name}={value}")).collect();
        if let Some(value) = HeaderValue::try_from(pairs.join("; ")).ok().filter(|value| !value.is_empty()) {
            headers.append(COOKIE, value);
        }
    }

    /// The value of a cookie, whoever set it last.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.cookies.iter().rev().find(|cookie| cookie.name == name).map(|cookie| cookie.value.as_str())
    }
}
