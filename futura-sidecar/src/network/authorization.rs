//! The header `authorization`, from what is configured or from files.

use std::{fmt, path::PathBuf};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use futura_metrics::specs::checks::Reason;
use http::HeaderValue;
use tokio::io::AsyncReadExt;

use super::Failure;

/// How large a file that is sent may be, in bytes.
const FILE_LIMIT: u64 = 1024 * 1024;

/// Who a request says it is from. Files are read for each request: what is in them may be renewed.
#[derive(Clone)]
pub(crate) struct Authorization {
    /// What stands before the secret, such as `Bearer `.
    pub(crate) scheme: String,
    pub(crate) secret: Secret,
}

#[derive(Clone)]
pub(crate) enum Secret {
    Text(String),
    File(PathBuf),
    /// A user's name, and the password.
    Basic(Box<Secret>, Box<Secret>),
}

// === impl Authorization ===

impl Authorization {
    pub(crate) fn basic(user: impl Into<Secret>, password: Secret) -> Self {
        Self { scheme: "Basic ".to_owned(), secret: Secret::Basic(Box::new(user.into()), Box::new(password)) }
    }

    pub(crate) fn bearer(token: Secret) -> Self {
        Self { scheme: "Bearer ".to_owned(), secret: token }
    }

    pub(crate) async fn header(&self) -> Result<HeaderValue, Failure> {
        let value = format!("{}{}", self.scheme, self.secret.read().await?);
        let mut value = HeaderValue::try_from(value)
            .map_err(|_| Failure::new(Reason::Auth, "the secret has characters that no header may have"))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl fmt::Debug for Authorization {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("<secret>")
    }
}

// === impl Secret ===

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl Secret {
    pub(crate) async fn read(&self) -> Result<String, Failure> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::File(file) => {
                let bytes = read_file(file).await?;
                Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
            }
            Self::Basic(user, password) => {
                let (user, password) = (Box::pin(user.read()).await?, Box::pin(password.read()).await?);
                Ok(BASE64.encode(format!("{user}:{password}")))
            }
        }
    }
}

/// What is in a file that a request sends.
pub(crate) async fn read_file(file: &PathBuf) -> Result<Vec<u8>, Failure> {
    let unreadable = |error| Failure::new(Reason::Auth, format!("`{}` cannot be read: {error}", file.display()));
    let mut bytes = Vec::new();
    let opened = tokio::fs::File::open(file).await.map_err(unreadable)?;
    opened.take(FILE_LIMIT).read_to_end(&mut bytes).await.map_err(unreadable)?;
    Ok(bytes)
}
