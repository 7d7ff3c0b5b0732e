//! The options of every command that asks a server: where it is, and who asks.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use futura_sidecar::{Access, ApiConfig};
use url::Url;

/// Who asks.
#[derive(Args)]
pub(crate) struct AccessArgs {
    /// A file with the token to ask with.
    #[arg(long, value_name = "FILE", conflicts_with = "user")]
    bearer_token_file: Option<PathBuf>,
    /// The user to ask as.
    #[arg(long, value_name = "NAME", requires = "password_file")]
    user: Option<String>,
    /// A file with the user's password.
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
}

/// An address without a secret in it, which the list of processes would show.
pub(crate) fn parse_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("an address starts with http:// or https://".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("give --user and --password-file instead of a password in the address".to_owned());
    }
    Ok(url)
}

// === impl AccessArgs ===

impl AccessArgs {
    /// Who asks `url`, and that an answer may take this long.
    pub(crate) fn config(self, url: Url, timeout: Duration) -> ApiConfig {
        let basic = self.user.zip(self.password_file).map(|(user, file)| Access::Basic(user, file));
        ApiConfig { url, access: self.bearer_token_file.map(Access::Bearer).or(basic), timeout }
    }
}
