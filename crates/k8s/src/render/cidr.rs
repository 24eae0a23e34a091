//! CIDR ranges.

use std::net::IpAddr;

use portolan_core::{Error, Result};

/// The IPv4 ranges that access to the internet excludes: private, loopback, link-local (with the metadata services of
/// clouds), shared and reserved ranges.
pub(super) const PRIVATE_RANGES_V4: [&str; 12] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "168.63.129.16/32",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/4",
    "240.0.0.0/4",
];
/// The IPv6 ranges that access to the internet excludes, with those that embed IPv4 addresses. `::ffff:0:0/96` is not
/// listed: it never leaves a machine as IPv6, and newer API servers reject it.
pub(super) const PRIVATE_RANGES_V6: [&str; 7] = [
    // Contains the IPv4-mapped range, which the API server rejects on its own.
    "::/80",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "2002::/16",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
];

/// Checks that `text` is a CIDR range: an address, `/` and a prefix length.
///
/// # Errors
///
/// [`Error::Invalid`] for `field` otherwise.
pub(super) fn check(field: &str, text: &str) -> Result<()> {
    let bits = text.split_once('/').and_then(|(address, bits)| {
        let most = match address.parse().ok()? {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        bits.parse().ok().filter(|bits: &u8| *bits <= most)
    });
    bits.map(drop).ok_or_else(|| {
        Error::invalid(
            field,
            format!("{text:?} is not a CIDR range; write it as 203.0.113.0/24"),
        )
    })
}
