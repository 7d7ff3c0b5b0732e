//! Which addresses may be dialled. It judges the address itself, after the name was resolved: whoever controls a name, or
//! answers with a redirect, cannot have another one dialled.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Where clouds tell a machine its secrets, besides the link-local networks: Alibaba, Oracle; AWS over IPv6.
const METADATA: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// Rules for hosts and their addresses. A network that is allowed beats one that is denied, and that beats the rest; a host that is
/// denied stays so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Guard {
    /// Networks that may be dialled whatever else is said.
    pub(crate) allow: Vec<IpNet>,
    /// Networks that may not be dialled.
    pub(crate) deny: Vec<IpNet>,
    /// Hosts that may be dialled although nothing but what is allowed may, if nothing else is against their addresses.
    pub(crate) allow_hosts: Vec<HostPattern>,
    /// Hosts that may not be dialled by these names.
    pub(crate) deny_hosts: Vec<HostPattern>,
    /// Whether link-local, metadata and unspecified addresses may not be dialled either.
    pub(crate) guarded: bool,
    /// Whether nothing but `allow` and `allow_hosts` may be dialled.
    pub(crate) closed: bool,
}

/// The name of a host, or of all below one: `*.example.org`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostPattern {
    name: String,
    below: bool,
}

// === impl Guard ===

impl Guard {
    /// What holds for those who choose targets from outside.
    pub(crate) fn strangers() -> Self {
        Self { guarded: true, ..Self::default() }
    }

    /// Whether a host may be dialled by its name, wherever it leads.
    pub(crate) fn allows_name(&self, host: &str) -> bool {
        !self.deny_hosts.iter().any(|pattern| pattern.matches(host))
    }

    /// Whether a host may be dialled that somebody else looks up: by its name alone, unless it is an address itself.
    pub(crate) fn allows_unresolved(&self, host: &str) -> bool {
        let allowed = match host.parse() {
            Ok(address) => self.allows(host, address),
            Err(_) => !self.shuts_out(host),
        };
        allowed && self.allows_name(host)
    }

    /// Whether an address that `host` has may be dialled.
    pub(crate) fn allows(&self, host: &str, address: IpAddr) -> bool {
        // `::ffff:169.254.169.254` reaches what `169.254.169.254` does.
        let address = address.to_canonical();
        let within = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&address));
        let refused = self.shuts_out(host) || within(&self.deny) || (self.guarded && is_delicate(address));
        within(&self.allow) || !refused
    }

    /// Whether nothing but what is allowed may be dialled, and the host's name is not.
    fn shuts_out(&self, host: &str) -> bool {
        self.closed && !self.allow_hosts.iter().any(|pattern| pattern.matches(host))
    }
}

// === impl HostPattern ===

impl TryFrom<String> for HostPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        let (name, below) = lower.strip_prefix("*.").map_or((lower.as_str(), false), |name| (name, true));
        let name = name.strip_suffix('.').unwrap_or(name);
        let plain = |character: char| character.is_ascii_alphanumeric() || "-_.:".contains(character);
        match !name.is_empty() && name.chars().all(plain) {
            true => Ok(Self { name: name.to_owned(), below }),
            false => Err(format!("`{text}` is no host: write one such as `example.org` or `*.example.org`")),
        }
    }
}

impl HostPattern {
    pub(crate) fn matches(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        match self.below {
            true => host.strip_suffix(&self.name).is_some_and(|rest| rest.ends_with('.')),
            false => host == self.name,
        }
    }
}

/// Whether an address leads to the machine's own network plumbing rather than to a service.
fn is_delicate(address: IpAddr) -> bool {
    METADATA.contains(&address)
        || match address {
            IpAddr::V4(address) => {
                // All of 0.0.0.0/8 is this host.
                address.is_link_local() || address.octets()[0] == 0 || address.is_broadcast() || address.is_multicast()
            }
            IpAddr::V6(address) => match embedded(address) {
                Some(inner) => is_delicate(IpAddr::V4(inner)),
                None => address.is_unicast_link_local() || address.is_unspecified() || address.is_multicast(),
            },
        }
}

/// The IPv4 address that a gateway takes out of an IPv6 one: NAT64 (RFC 6052), 6to4 (RFC 3056), IPv4-compatible (RFC 4291).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let join = |high: u16, low: u16| Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => join(high, low),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => join(high, low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Guard, HostPattern};

    #[test]
    fn strangers_reach_services_and_no_plumbing() {
        let guard = Guard::strangers();
        for address in ["127.0.0.1", "10.0.0.1", "93.184.216.34", "::1", "fd00::1", "2001:db8::1", "64:ff9b::5db8:d822"]
        {
            assert!(guard.allows("h", address.parse().expect("an address")), "{address}");
        }
        for address in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::",
            "::a9fe:a9fe",
            "fd00:ec2::254",
            "100.100.100.200",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "fe80::1",
            "255.255.255.255",
            "224.0.0.1",
            "ff02::1",
        ] {
            assert!(!guard.allows("h", address.parse().expect("an address")), "{address}");
            assert!(Guard::default().allows("h", address.parse().expect("an address")), "{address}");
        }
    }

    #[test]
    fn what_is_allowed_beats_what_is_denied() {
        let network = |text: &str| text.parse().expect("a network");
        let guard = Guard {
            allow: vec![network("169.254.7.0/24"), network("10.1.2.3/32")],
            deny: vec![network("10.0.0.0/8")],
            ..Guard::strangers()
        };
        let allows = |address: &str| guard.allows("h", address.parse().expect("an address"));
        assert!(allows("169.254.7.1") && allows("10.1.2.3") && allows("::ffff:10.1.2.3") && allows("192.168.0.1"));
        assert!(!allows("169.254.8.1") && !allows("10.1.2.4") && !allows("::ffff:10.1.2.4"));
        let closed = Guard { closed: true, ..guard };
        assert!(closed.allows("h", "10.1.2.3".parse().expect("an address")));
        assert!(!closed.allows("h", "192.168.0.1".parse().expect("an address")));
    }

    #[test]
    fn hosts_are_known_by_name_and_their_addresses_judged_all_the_same() {
        let hosts = |names: &[&str]| -> Vec<HostPattern> {
            names.iter().map(|name| (*name).to_owned().try_into().expect("a host")).collect()
        };
        let guard = Guard {
            allow_hosts: hosts(&["Example.org.", "*.shop.example"]),
            deny_hosts: hosts(&["admin.shop.example"]),
            closed: true,
            ..Guard::strangers()
        };
        let (fine, delicate) =
            ("10.0.0.1".parse().expect("an address"), "169.254.169.254".parse().expect("an address"));
        for host in ["example.org", "EXAMPLE.ORG.", "a.shop.example", "a.b.shop.example"] {
            assert!(guard.allows_name(host) && guard.allows(host, fine) && !guard.allows(host, delicate), "{host}");
        }
        for host in ["shop.example", "notshop.example", "an.example.org", "10.0.0.1", ""] {
            assert!(!guard.allows(host, fine), "{host}");
        }
        assert!(!guard.allows_name("ADMIN.shop.example.") && guard.allows_name("other.shop.example"));
        for (host, allowed) in [
            ("example.org", true),
            ("admin.shop.example", false),
            ("an.example.org", false),
            ("10.0.0.1", false),
            ("169.254.169.254", false),
        ] {
            assert_eq!(guard.allows_unresolved(host), allowed, "{host}");
        }
        for wrong in ["", "*.", "a b", "http://a", "a*"] {
            assert!(HostPattern::try_from(wrong.to_owned()).expect_err(wrong).contains("no host"), "{wrong}");
        }
    }
}
