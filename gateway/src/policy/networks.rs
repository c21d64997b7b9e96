//! Lists of networks where the longest prefix decides, flattened into disjoint ranges: a look-up is
//! one binary search, tens of thousands of entries take 40 bytes each. Built by `plan`, asked by the
//! event loops for each new connection.

use crate::config::Verdict;
use std::net::IpAddr;

/// A network, as an address (IPv4 mapped into IPv6) and the length of its prefix in 128 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    first: u128,
    length: u8,
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().into(),
        IpAddr::V6(ip) => ip.into(),
    }
}

fn rest(length: u8) -> u128 {
    u128::MAX.checked_shr(length.into()).unwrap_or(0)
}

impl std::str::FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (ip, length) = text.split_once('/').map_or((text, None), |(ip, n)| (ip, Some(n)));
        let wrong =
            || format!("\"{text}\" is no network such as 10.0.0.0/8, 2001:db8::/32 or 192.0.2.7");
        let ip: IpAddr = ip.parse().map_err(|_| wrong())?;
        let most = if ip.is_ipv4() { 32 } else { 128 };
        let length = length.map_or(Ok(most), |n| n.parse::<u8>().map_err(|_| wrong()))?;
        if length > most {
            return Err(wrong());
        }
        let length = length + (128 - most);
        let first = number(ip);
        if first & rest(length) != 0 {
            return Err(format!("\"{text}\" has bits behind its prefix: which network is meant?"));
        }
        Ok(Self { first, length })
    }
}

/// Networks with a verdict each.
#[derive(Debug, Default)]
pub struct Networks {
    /// First address of each range and what holds in it, in order; a range ends where the next begins.
    ranges: Vec<(u128, Option<Verdict>)>,
}

impl Networks {
    /// Of two entries for the same network the denying one holds.
    pub fn new(mut entries: Vec<(Network, Verdict)>) -> Self {
        entries.sort_by_key(|(n, verdict)| (n.first, n.length, *verdict == Verdict::Deny));
        let mut ranges: Vec<(u128, Option<Verdict>)> = vec![(0, None)];
        let mut put = |at: u128, verdict: Option<Verdict>| match ranges.last_mut() {
            Some(last) if last.0 == at => last.1 = verdict,
            Some(last) if last.1 == verdict => {}
            _ => ranges.push((at, verdict)),
        };
        // Those that hold the address at hand, the widest first.
        let mut open: Vec<(u128, Option<Verdict>)> = Vec::new();
        let close = |open: &mut Vec<(u128, Option<Verdict>)>,
                     until: Option<u128>,
                     put: &mut dyn FnMut(u128, Option<Verdict>)| {
            while let Some((last, _)) = open.last().copied() {
                if until.is_some_and(|until| last >= until) {
                    break;
                }
                open.pop();
                if let Some(next) = last.checked_add(1) {
                    put(next, open.last().and_then(|(_, verdict)| *verdict));
                }
            }
        };
        for (network, verdict) in entries {
            close(&mut open, Some(network.first), &mut put);
            put(network.first, Some(verdict));
            open.push((network.first | rest(network.length), Some(verdict)));
        }
        close(&mut open, None, &mut put);
        Self { ranges }
    }

    /// What the longest prefix that holds an address says; none when none holds it.
    pub fn verdict(&self, ip: IpAddr) -> Option<Verdict> {
        let wanted = number(ip);
        let at = self.ranges.partition_point(|(first, _)| *first <= wanted);
        self.ranges.get(at.checked_sub(1)?)?.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_longest_prefix_decides(
            nets in proptest::collection::vec((0u32..64, 26u8..=32, any::<bool>()), 0..30),
            asked in 0u32..64,
        ) {
            let entries: Vec<_> = nets.iter().map(|(host, length, deny)| {
                let masked = (u32::MAX - 63 + host) & (u64::from(u32::MAX) << (32 - length)) as u32;
                let text = format!("{}/{length}", std::net::Ipv4Addr::from(masked));
                (text.parse::<Network>().unwrap(), if *deny { Verdict::Deny } else { Verdict::Allow })
            }).collect();
            let ip = IpAddr::from(std::net::Ipv4Addr::from(u32::MAX - 63 + asked));
            let expected = entries.iter().filter(|(n, _)| number(ip) & !rest(n.length) == n.first)
                .max_by_key(|(n, v)| (n.length, *v == Verdict::Deny)).map(|(_, v)| *v);
            prop_assert_eq!(Networks::new(entries).verdict(ip), expected);
        }
    }

    #[test]
    fn tens_of_thousands_of_networks_are_held_and_looked_up() {
        let entry = |n: u32| {
            (format!("{}/24", std::net::Ipv4Addr::from(n << 9)).parse().unwrap(), Verdict::Deny)
        };
        let list = Networks::new((0..50_000).map(entry).collect());
        for n in [0u32, 1, 49_999] {
            assert_eq!(list.verdict(IpAddr::V4((n << 9 | 7).into())), Some(Verdict::Deny));
            assert_eq!(list.verdict(IpAddr::V4((n << 9 | 0x107).into())), None);
        }
    }

    #[test]
    fn what_is_no_network_is_told() {
        for text in ["10.0.0.1/8", "10.0.0.0/33", "x", "10.0.0.0/", "::/129", "1.2.3.4/-1"] {
            assert!(text.parse::<Network>().unwrap_err().contains(text));
        }
        let all = Networks::new(vec![("::/0".parse().unwrap(), Verdict::Deny)]);
        assert_eq!(
            all.verdict("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".parse().unwrap()),
            Some(Verdict::Deny)
        );
    }
}
