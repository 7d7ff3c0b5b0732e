//! Which versions of Prometheus and Alertmanager the files are for.
//!
//! Rules, their tests and dashboards keep to what both understand. Alertmanager learned to read more secrets from files.

use std::{fmt, str::FromStr};

/// The versions that the generated files are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Prometheus 2.42 with Alertmanager 0.25, as Debian 12 has them, and later ones.
    #[default]
    Prometheus2,
    /// Prometheus 3 with Alertmanager 0.27, and later ones.
    Prometheus3,
}

/// No profile has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no profile: there are {all}", all = Profile::ALL.map(Profile::as_str).join(" and "))]
pub struct UnknownProfile(String);

// === impl Profile ===

impl Profile {
    /// Every profile.
    pub const ALL: [Self; 2] = [Self::Prometheus2, Self::Prometheus3];

    /// The name on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prometheus2 => "prometheus-2.42",
            Self::Prometheus3 => "prometheus-3",
        }
    }

    /// Whether a webhook's address can stand in a file of its own, since Alertmanager 0.26.
    pub(crate) fn webhook_reads_url_from_file(self) -> bool {
        self == Self::Prometheus3
    }

    /// Whether the address of Discord's webhook can, since Alertmanager 0.27.
    pub(crate) fn discord_reads_url_from_file(self) -> bool {
        self == Self::Prometheus3
    }
}

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let profile = Self::ALL.into_iter().find(|profile| profile.as_str() == text);
        profile.ok_or_else(|| UnknownProfile(text.to_owned()))
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Profile;

    #[test]
    fn profiles_are_known_by_their_names() {
        for profile in Profile::ALL {
            assert_eq!(profile.to_string().parse(), Ok(profile));
        }
        let error = "prometheus-1".parse::<Profile>().unwrap_err();
        assert_eq!(error.to_string(), "`prometheus-1` is no profile: there are prometheus-2.42 and prometheus-3");
    }
}
