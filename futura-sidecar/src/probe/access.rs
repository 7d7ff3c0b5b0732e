//! Who a probe over HTTP says it is, and whether a proxy stands between.

use http::{HeaderMap, HeaderValue};
use serde_yaml::Value;
use url::Url;

use super::{
    config::{file, header_name},
    oauth2::OAuth2Module,
};
use crate::{
    config::{Section, form},
    network::{Authorization, HostPattern, Proxy, Secret},
};

/// Who asks, and by which way.
#[derive(Clone, Debug)]
pub(super) struct Access {
    pub(super) authorization: Option<Authorization>,
    pub(super) oauth2: Option<OAuth2Module>,
    pub(super) proxy: Option<Proxy>,
}

// === impl Access ===

impl Access {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let authorization = read_authorization(section);
        let oauth2 = section.nested("oauth2", OAuth2Module::read, None);
        let proxy = read_proxy(section);
        let (authorization, oauth2) = (authorization?, oauth2?);
        if authorization.is_some() && oauth2.is_some() {
            section.report("oauth2", "another way to say who asks is there: one of them is too many");
            return None;
        }
        Some(Self { authorization, oauth2, proxy: proxy? })
    }
}

fn read_authorization(section: &mut Section<'_, '_>) -> Option<Option<Authorization>> {
    let basic = section.nested("basic_auth", read_basic, None)?;
    let other = section.nested("authorization", read_credentials, None)?;
    let token = section.or("bearer_token", |value| form::secret(value).map(|text| Some(Secret::Text(text))), None)?;
    let token_file = section.or("bearer_token_file", |value| file(value).map(|file| file.map(Secret::File)), None)?;
    let bearer = token.or(token_file).map(Authorization::bearer);
    let mut all = [basic, other, bearer].into_iter().flatten();
    let one = all.next();
    if all.next().is_some() {
        section.report(
            "authorization",
            "more than one of `basic_auth`, `authorization` and `bearer_token` is one too many",
        );
        return None;
    }
    Some(one)
}

/// A proxy. Hosts in `no_proxy` stand for those below them too; networks there are refused, since only names are compared.
fn read_proxy(section: &mut Section<'_, '_>) -> Option<Option<Proxy>> {
    let url = section.or("proxy_url", |value| proxy_url(value).map(Some), None);
    let headers = section.or("proxy_connect_header", proxy_headers, HeaderMap::new());
    let except = section.or("no_proxy", no_proxy, Vec::new());
    let skips_lookup = section.or("skip_resolve_phase_with_proxy", form::flag, false);
    let (headers, except, skips_lookup) = (headers?, except?, skips_lookup?);
    let Some(url) = url? else { return Some(None) };
    section.keep("proxy_url", Proxy::new(&url, headers, except, !skips_lookup)).map(Some)
}

/// It may hold a password, so no message shows it.
fn proxy_url(value: &Value) -> Result<Url, String> {
    Url::parse(&form::secret(value)?).map_err(|error| format!("it is no URL: {error}"))
}

/// Each with one value or a list of them.
fn proxy_headers(value: &Value) -> Result<HeaderMap, String> {
    let Value::Mapping(mapping) = value else { return Err(format!("{} is no mapping of headers", form::shown(value))) };
    let mut headers = HeaderMap::new();
    for (name, values) in mapping {
        let name = header_name(name)?;
        for value in values.as_sequence().map_or(std::slice::from_ref(values), Vec::as_slice) {
            let value =
                HeaderValue::try_from(form::secret(value).map_err(|message| format!("header `{name}`: {message}"))?);
            headers.append(
                &name,
                value.map_err(|_| format!("the value of `{name}` has characters that no header may have"))?,
            );
        }
    }
    Ok(headers)
}

fn no_proxy(value: &Value) -> Result<Vec<HostPattern>, String> {
    let text = form::text(value)?;
    let mut except = Vec::new();
    for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let bare = name.trim_start_matches("*.").trim_start_matches('.');
        except.push(format!("*.{bare}").try_into()?);
        if !name.starts_with(['.', '*']) {
            except.push(bare.to_owned().try_into()?);
        }
    }
    Ok(except)
}

fn read_basic(section: &mut Section<'_, '_>) -> Option<Option<Authorization>> {
    let name = section.or("username", form::text, String::new());
    let password = section.or("password", form::secret, String::new());
    let password_file = section.or("password_file", file, None);
    let name_file = section.or("username_file", file, None);
    let (name, password) = (name?, password?);
    let name = name_file?.map_or(Secret::Text(name), Secret::File);
    let password = password_file?.map_or(Secret::Text(password), Secret::File);
    Some(Some(Authorization::basic(name, password)))
}

fn read_credentials(section: &mut Section<'_, '_>) -> Option<Option<Authorization>> {
    let scheme = section.or("type", form::text, "Bearer".to_owned());
    let credentials = section.or("credentials", form::secret, String::new());
    let credentials_file = section.or("credentials_file", file, None);
    let credentials = credentials?;
    let secret = credentials_file?.map_or(Secret::Text(credentials), Secret::File);
    Some(Some(Authorization { scheme: format!("{} ", scheme?), secret }))
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD as BASE64};

    use super::{HeaderMap, Proxy, Url, Value, no_proxy};

    #[test]
    fn a_proxy_is_told_user_and_password_as_they_are_meant() {
        for (who, told) in
            [("user:secret", "user:secret"), ("us%65r:p%40ss%3a%25%C3%A9+", "user:p@ss:%é+"), ("user", "user:")]
        {
            let url = Url::parse(&format!("http://{who}@proxy:3128")).expect("a URL");
            let proxy = Proxy::new(&url, HeaderMap::new(), Vec::new(), true).expect("a proxy");
            assert_eq!(proxy.headers()["proxy-authorization"], format!("Basic {}", BASE64.encode(told)), "{who}");
        }
    }

    #[test]
    fn hosts_go_past_a_proxy_by_name() {
        let except = no_proxy(&Value::String("example.org, .inside.org,*.a.b".to_owned())).expect("hosts");
        let url = Url::parse("http://proxy:3128").expect("a URL");
        let proxy = Proxy::new(&url, HeaderMap::new(), except, true).expect("a proxy");
        for (host, served) in [
            ("example.org", false),
            ("www.example.org", false),
            ("notexample.org", true),
            ("inside.org", true),
            ("x.inside.org", false),
            ("c.a.b", false),
        ] {
            assert_eq!(proxy.serves(host), served, "{host}");
        }
        assert!(no_proxy(&Value::String("10.0.0.0/8".to_owned())).expect_err("a network").contains("no host"));
        for wrong in ["https://proxy", "socks5://proxy"] {
            let url = Url::parse(wrong).expect("a URL");
            assert!(Proxy::new(&url, HeaderMap::new(), Vec::new(), true).is_err(), "{wrong}");
        }
    }
}
