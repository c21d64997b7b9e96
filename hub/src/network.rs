//! Networks as `address/length`, for lists of who may come.

use serde::{Deserialize, Deserializer, de::Error as _};
use std::net::IpAddr;

/// A network, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    /// Bits that count.
    length: u32,
}

fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()) << 96, 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    }
}

impl Network {
    /// Reads `192.0.2.0/24`, `2001:db8::/32` or one address.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad = |why: &str| {
            let shown = cmdr_protocol::display::clean_to_width(text, 60);
            format!("'{shown}' is no network such as 192.0.2.0/24 or 2001:db8::/32: {why}")
        };
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| bad("that is no address"))?;
        let most = bits(address).1;
        let length = match length.map(str::parse) {
            None => most,
            Some(Ok(length)) if length <= most => length,
            Some(_) => return Err(bad(&format!("its length is a number from 0 to {most}"))),
        };
        Ok(Self { address, length })
    }

    /// Whether an address lies in it.
    pub fn contains(self, address: IpAddr) -> bool {
        let ((ours, kind), (theirs, other)) = (bits(self.address), bits(address.to_canonical()));
        let rest = 128 - self.length;
        kind == other && (rest == 128 || ours >> rest == theirs >> rest)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(d)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_its_addresses_and_no_others() {
        let holds = |network: &str, address: &str| {
            Network::parse(network).unwrap().contains(address.parse().unwrap())
        };
        assert!(holds("192.0.2.0/24", "192.0.2.255") && !holds("192.0.2.0/24", "192.0.3.0"));
        assert!(holds("192.0.2.7", "192.0.2.7") && !holds("192.0.2.7", "192.0.2.6"));
        assert!(holds("192.0.2.0/24", "::ffff:192.0.2.1"), "a mapped address is the one it maps");
        assert!(holds("0.0.0.0/0", "8.8.8.8") && !holds("0.0.0.0/0", "2001:db8::1"));
        assert!(
            holds("2001:db8::/32", "2001:db8:ffff::1") && !holds("2001:db8::/32", "2001:db9::")
        );
        assert!(holds("::/0", "::1"));
    }

    #[test]
    fn what_is_no_network_is_told_so() {
        for text in ["", "x", "192.0.2.0/33", "192.0.2.0/-1", "::/129", "192.0.2.0/", "1.2.3/8"] {
            assert!(Network::parse(text).is_err(), "{text}");
        }
    }
}
