//! The addresses that the broker's cluster is first asked at.

use std::{fmt, net::Ipv6Addr, str::FromStr};

/// The longest name that DNS has.
const MAX_HOST_CHARS: usize = 253;

/// Addresses of brokers, each `host:port`; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Brokers(Vec<String>);

// === impl Brokers ===

impl Brokers {
    pub(super) fn addresses(&self) -> &[String] {
        &self.0
    }
}

impl FromStr for Brokers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let check = |entry: &str| {
            let refused = || {
                format!(
                    "brokers such as kafka-0:9092 or [::1]:9092, separated by commas; `{}` is none",
                    entry.escape_debug()
                )
            };
            is_address(entry).then(|| entry.to_owned()).ok_or_else(refused)
        };
        text.split(',').map(|entry| check(entry.trim())).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Brokers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.join(","))
    }
}

fn is_address(entry: &str) -> bool {
    let Some((host, port)) = entry.rsplit_once(':') else { return false };
    let host_is_valid = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => is_host(host),
    };
    // A number's parser takes a sign too.
    let port_is_valid =
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    host_is_valid && port_is_valid
}

/// Whether it is a name or an IPv4 address; underscores are in the names that container networks give.
fn is_host(host: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    host.len() <= MAX_HOST_CHARS && host.strip_suffix('.').unwrap_or(host).split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::Brokers;

    #[test]
    fn every_entry_has_a_host_and_a_port() {
        let check = |text: &str| text.parse::<Brokers>().map(|brokers| brokers.to_string());
        assert_eq!(check("redpanda:9092").as_deref(), Ok("redpanda:9092"));
        assert_eq!(
            check("kafka_0.local.:1, 10.0.0.1:65535 ,[::1]:9092").as_deref(),
            Ok("kafka_0.local.:1,10.0.0.1:65535,[::1]:9092")
        );
        for refused in [
            "",
            "redpanda",
            "redpanda:",
            ":9092",
            "redpanda:0",
            "redpanda:65536",
            "redpanda:+1",
            "red panda:9092",
            "red..panda:9092",
            "::1:9092",
            "[::1]",
            "[redpanda]:9092",
            "kafka://redpanda:9092",
            "me:hush@redpanda:9092",
        ] {
            let error = check(&format!("a:1,{refused}")).unwrap_err();
            assert!(error.ends_with(&format!("; `{refused}` is none")), "{error}");
        }
    }
}
