//! Who calls: tokens (JWT, HS256 and nothing else) are checked here, and a handler states in its signature what it needs.
//!
//! [`Caller`] asks for any valid token and [`Promoter`] for one with that role; a handler with neither is open to everyone.
//! Without a key nobody is asked for anything. A token itself is neither kept nor logged.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, StatusCode, header, request::Parts},
};
use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation,
    crypto::{CryptoProvider, JwtVerifier, KeyUtils},
    decode,
    errors::{Error, ErrorKind, new_error},
    signature::{self, Verifier},
};
use serde::Deserialize;
use serde_json::Value;
use sha2::Sha256;
use utoipa::{
    Modify,
    openapi::{
        OpenApi,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use super::{App, error::ApiError};
use crate::{
    domain::{Caller, USER_ID_LIMIT, is_user_id},
    secret::Secret,
};

/// How far the clocks of the issuer and of this machine may be apart.
const LEEWAY_SECS: u64 = 30;

/// A token that says for whom it is made must name this.
const AUDIENCE: &str = "ticket-api";

const PROMOTER: &str = "promoter";

/// HMAC-SHA-256 by the crate that checks webhooks too; no other algorithm is linked, so that none can be asked for.
static HS256_ALONE: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(new_error(ErrorKind::UnsupportedAlgorithm)),
    verifier_factory: Hs256::verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

/// Checks tokens, if the service has a key.
pub(crate) struct Authentication(Option<TokenKey>);

/// Leave to create events.
pub(super) struct Promoter;

/// The scheme in the OpenAPI document.
pub(super) struct BearerScheme;

struct TokenKey {
    key: DecodingKey,
    validation: Validation,
}

/// What matters here of a token; what else it says is its issuer's business.
#[derive(Deserialize)]
struct Claims {
    /// Where it is missing, the check of required claims says so.
    #[serde(default)]
    sub: String,
    #[serde(default)]
    role: Value,
    /// The library takes what it cannot read for absent.
    aud: Option<Value>,
}

struct Hs256(Hmac<Sha256>);

// === impl Authentication ===

impl Authentication {
    pub(crate) fn new(secret: Option<&Secret>) -> Self {
        // An error says that it is installed already, and nothing else in the process installs one.
        let _ = HS256_ALONE.install_default();
        Self(secret.map(TokenKey::new))
    }

    /// What the request's token says; `None` when the API runs open.
    fn check(&self, headers: &HeaderMap) -> Result<Option<Claims>, ApiError> {
        self.0.as_ref().map(|key| key.check(bearer_token(headers)?)).transpose()
    }
}

// === impl TokenKey ===

impl TokenKey {
    fn new(secret: &Secret) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_required_spec_claims(&["exp", "sub"]);
        validation.validate_aud = false;
        validation.validate_nbf = true;
        validation.leeway = LEEWAY_SECS;
        Self { key: DecodingKey::from_secret(secret.expose().as_bytes()), validation }
    }

    fn check(&self, token: &str) -> Result<Claims, ApiError> {
        let token = decode::<Claims>(token, &self.key, &self.validation).map_err(|error| refusal(&error))?;
        // RFC 7515, section 4.1.11: whoever does not know an extension that is critical must refuse the token.
        if token.header.crit.is_some() {
            return Err(invalid("the token has a critical extension, of which none is known here"));
        }
        if token.claims.aud.as_ref().is_some_and(|audience| !names_us(audience)) {
            return Err(invalid(format!("the token is made for others: its claim `aud` does not name `{AUDIENCE}`")));
        }
        if !is_user_id(&token.claims.sub) {
            let message = format!(
                "the token's claim `sub` must have 1 to {USER_ID_LIMIT} characters, none of them a control character"
            );
            return Err(invalid(message));
        }
        Ok(token.claims)
    }
}

// === impl Hs256 ===

impl Hs256 {
    fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
        if *algorithm != Algorithm::HS256 {
            return Err(new_error(ErrorKind::UnsupportedAlgorithm));
        }
        let mac = Hmac::new_from_slice(key.try_get_as_bytes()?).expect("an HMAC takes a key of any length");
        Ok(Box::new(Self(mac)))
    }
}

impl Verifier<Vec<u8>> for Hs256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        self.0.clone().chain_update(message).verify_slice(signature).map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

// === impl Caller ===

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let claims = app.authentication.check(&parts.headers)?;
        Ok(claims.map_or(Self::Anyone, |claims| Self::User(claims.sub)))
    }
}

// === impl Promoter ===

impl FromRequestParts<App> for Promoter {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        match app.authentication.check(&parts.headers)? {
            Some(claims) if claims.role != PROMOTER => {
                let message = "only a promoter may do this: the token's claim `role` must be `promoter`";
                let challenge = "Bearer error=\"insufficient_scope\"";
                Err(ApiError::new(StatusCode::FORBIDDEN, "forbidden", message).challenge(challenge))
            }
            _ => Ok(Self),
        }
    }
}

// === impl BearerScheme ===

impl Modify for BearerScheme {
    fn modify(&self, document: &mut OpenApi) {
        let description = format!(
            "A token signed with HS256 and the service's `JWT_SECRET`. It must have `exp` and `sub`, which is the user; `nbf` is \
             checked where there is one, with {LEEWAY_SECS} seconds of leeway for both times, and so is `aud`, which must name \
             `{AUDIENCE}`. To create events it needs the claim `role` = `{PROMOTER}`. A service without `JWT_SECRET` runs open, \
             for a trial, and asks for no token."
        );
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT");
        let scheme = SecurityScheme::Http(scheme.description(Some(description)).build());
        document.components.get_or_insert_default().add_security_scheme("bearer", scheme);
    }
}

/// The token, as RFC 6750 (section 2.1) sends it.
fn bearer_token(headers: &HeaderMap) -> Result<&str, ApiError> {
    let mut sent = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (sent.next(), sent.next()) else {
        return Err(match headers.contains_key(header::AUTHORIZATION) {
            true => invalid("there must be one header authorization"),
            false => missing(),
        });
    };
    let (scheme, token) = value.to_str().ok().and_then(|value| value.split_once(' ')).ok_or_else(missing)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(token.trim_matches(' ')) } else { Err(missing()) }
}

/// Whether an audience is the service's name, or a list with it.
fn names_us(audience: &Value) -> bool {
    match audience {
        Value::Array(audiences) => audiences.iter().any(|audience| audience == AUDIENCE),
        audience => audience == AUDIENCE,
    }
}

/// What is wrong with a token. The signature is checked first: only who has a token of ours learns more than that it is none.
fn refusal(error: &Error) -> ApiError {
    let message = match error.kind() {
        ErrorKind::ExpiredSignature => {
            return unauthorized(
                "token_expired",
                "the token has expired: get a new one",
                Some("the token has expired"),
            );
        }
        ErrorKind::ImmatureSignature => "the token is not valid yet".to_owned(),
        ErrorKind::MissingRequiredClaim(name) => format!("the token lacks a usable claim `{name}`"),
        _ => "the token is not valid".to_owned(),
    };
    invalid(message)
}

fn missing() -> ApiError {
    unauthorized("token_missing", "a token is needed, in the header authorization: Bearer <token>", None)
}

fn invalid(message: impl Into<String>) -> ApiError {
    unauthorized("token_invalid", message, Some("the token is not valid"))
}

/// RFC 6750, section 3: who sent no token is told how to, and who sent one what is wrong with it.
fn unauthorized(code: &'static str, message: impl Into<String>, description: Option<&str>) -> ApiError {
    let challenge = match description {
        Some(description) => format!("Bearer error=\"invalid_token\", error_description=\"{description}\""),
        None => "Bearer".to_owned(),
    };
    ApiError::new(StatusCode::UNAUTHORIZED, code, message.into()).field("authorization").challenge(challenge)
}
