//! Ranges of addresses.

use std::net::IpAddr;

use portolan_core::{Error, Result};

/// What no server reaches by the internet being open to it: private addresses, the machine itself, link-local ones with a
/// cloud's metadata service, shared and reserved ranges, and the ways in which IPv6 can stand for any of these.
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
/// The same for IPv6. `::ffff:0:0/96` is left out: it never leaves a machine as IPv6, and newer API servers refuse it.
pub(super) const PRIVATE_RANGES_V6: [&str; 7] = [
    // With the IPv4-mapped ones, which the API server does not take by their own name.
    "::/80",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "2002::/16",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
];

/// Fails unless `text` is a range: an address, `/` and a number of bits.
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
            format!("{text:?} is no range of addresses; write it as 203.0.113.0/24"),
        )
    })
}
