//! Where forwards lead, and where they listen: nowhere that the owner has not named.

use super::{Network, Policy};
use cmdr_protocol::CallError;
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::forwards::direct::MAX_ADDRESSES;
use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroUsize;

/// Connections carried at once when the file says nothing.
const MOST: usize = 1024;

/// Limits of forwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwards {
    /// Places that they may lead to; none by default.
    pub targets: Vec<Reach>,
    /// Networks that they may not, whatever `targets` says.
    pub denied_networks: Vec<Network>,
    /// Places at which this host may listen for them; none by default.
    pub listen: Vec<Reach>,
    /// Where this host listens for other hosts that come for connections without the hub; nowhere by default.
    pub direct: Option<SocketAddr>,
    /// Where they dial it, when that is elsewhere.
    pub direct_as: Vec<SocketAddr>,
    /// Where this host may dial others for the same; nowhere by default.
    pub direct_to: Vec<Reach>,
    /// Connections carried at once.
    pub max: usize,
}

impl Default for Forwards {
    fn default() -> Self {
        WrittenForwards::default().into()
    }
}

/// A network and ports of it: `10.0.0.0/8:5432`, `[fd00::/8]:8000-8999`, `127.0.0.1:*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    network: Network,
    from: u16,
    to: u16,
}

impl Reach {
    /// Reads one; none when the text is none.
    pub fn parse(text: &str) -> Option<Self> {
        let (network, ports) = text.rsplit_once(':')?;
        let network = match network.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']')?,
            None if network.contains(':') => return None,
            None => network,
        };
        let (from, to) = match ports {
            "*" => (1, u16::MAX),
            ports => match ports.split_once('-') {
                Some((from, to)) => (from.parse().ok()?, to.parse().ok()?),
                None => (ports.parse().ok()?, ports.parse().ok()?),
            },
        };
        let network = Network::parse(network)?;
        (from > 0 && from <= to).then_some(Self { network, from, to })
    }

    fn has(&self, at: SocketAddr) -> bool {
        (self.from..=self.to).contains(&at.port()) && self.network.contains(at.ip())
    }

    /// Whether it names this sort of address, and not merely everything.
    fn names(&self, sort: Network) -> bool {
        sort.covers(&self.network)
    }
}

impl<'de> Deserialize<'de> for Reach {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            D::Error::invalid_value(
                Unexpected::Str(&text),
                &"a network and ports such as 10.0.0.0/8:5432 or 127.0.0.1:8000-8999",
            )
        })
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenForwards {
    targets: Vec<Reach>,
    denied_networks: Vec<Network>,
    listen: Vec<Reach>,
    direct: Option<Listening>,
    direct_as: Dialed,
    direct_to: Vec<Reach>,
    max: Option<NonZeroUsize>,
}

/// One address of this host, at which it listens.
struct Listening(SocketAddr);

impl<'de> Deserialize<'de> for Listening {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let at = text.parse::<SocketAddr>().ok().filter(|at| at.port() > 0);
        at.map(Self).ok_or_else(|| {
            D::Error::invalid_value(
                Unexpected::Str(&text),
                &"an address of this host and a port, such as 10.0.0.5:7444",
            )
        })
    }
}

/// Addresses at which others dial this host.
#[derive(Default)]
struct Dialed(Vec<SocketAddr>);

impl<'de> Deserialize<'de> for Dialed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let all = Vec::<String>::deserialize(deserializer)?;
        let read = |text: &String| {
            let at = text.parse::<SocketAddr>().ok();
            at.filter(|at| at.port() > 0 && !at.ip().is_unspecified()).ok_or_else(|| {
                D::Error::invalid_value(
                    Unexpected::Str(text),
                    &"an address and a port that other hosts can dial, such as 203.0.113.7:7444",
                )
            })
        };
        if all.len() > MAX_ADDRESSES {
            return Err(D::Error::invalid_length(all.len(), &"at most 4 addresses"));
        }
        all.iter().map(read).collect::<Result<_, _>>().map(Self)
    }
}

impl From<WrittenForwards> for Forwards {
    fn from(written: WrittenForwards) -> Self {
        let most = tokio::sync::Semaphore::MAX_PERMITS;
        Self {
            targets: written.targets,
            denied_networks: written.denied_networks,
            listen: written.listen,
            direct: written.direct.map(|Listening(at)| at),
            direct_as: written.direct_as.0,
            direct_to: written.direct_to,
            max: written.max.map_or(MOST, |max| max.get().min(most)),
        }
    }
}

/// Addresses that a wider network does not cover: they mean the host itself, or whoever gives it its credentials.
const OWN: [&str; 4] = ["127.0.0.0/8", "::1", "169.254.0.0/16", "fe80::/10"];

/// An address as it counts: IPv4 is such, however it is clothed.
fn bare(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address.to_canonical() else { return address.to_canonical() };
    let compatible = v6.to_ipv4().filter(|_| v6 != Ipv6Addr::LOCALHOST && !v6.is_unspecified());
    // 64:ff9b::/96 leads to IPv4 as well (RFC 6052).
    let [a, b, 0, 0, 0, 0, c, d] = v6.segments() else {
        return compatible.map_or(address, IpAddr::V4);
    };
    if (a, b) == (0x64, 0xff9b) {
        return IpAddr::from(std::net::Ipv4Addr::from_bits(u32::from(c) << 16 | u32::from(d)));
    }
    compatible.map_or(address, IpAddr::V4)
}

/// What no forward leads to; of IPv6 also what stands for IPv4 or leads to it (in ::/80 are ::ffff:0:0/96 and ::/96), which is
/// judged as such.
const NEVER: [&str; 7] =
    ["0.0.0.0", "255.255.255.255", "224.0.0.0/4", "::", "ff00::/8", "::/80", "64:ff9b::/96"];

/// A network without a part of it.
fn without(network: Network, hole: &Network) -> Vec<Network> {
    if hole.covers(&network) {
        return Vec::new();
    }
    if !network.covers(hole) {
        return vec![network];
    }
    network.halves().into_iter().flat_map(|half| without(half, hole)).collect()
}

impl Network {
    /// Both halves; none of a single address.
    fn halves(self) -> Vec<Self> {
        let most = if self.address.is_ipv4() { 32 } else { 128 };
        if self.bits >= most {
            return Vec::new();
        }
        let bits = self.bits + 1;
        let half = |upper: bool| {
            let address = match self.masked().address {
                IpAddr::V4(ip) => {
                    IpAddr::V4((ip.to_bits() | u32::from(upper) << (32 - u32::from(bits))).into())
                }
                IpAddr::V6(ip) => {
                    IpAddr::V6((ip.to_bits() | u128::from(upper) << (128 - u32::from(bits))).into())
                }
            };
            Self { address, bits }
        };
        vec![half(false), half(true)]
    }

    /// The same one, with nothing behind its prefix.
    fn masked(self) -> Self {
        let bits = u32::from(self.bits);
        let address = match self.address {
            IpAddr::V4(ip) => {
                IpAddr::V4((ip.to_bits() & !u32::MAX.checked_shr(bits).unwrap_or(0)).into())
            }
            IpAddr::V6(ip) => {
                IpAddr::V6((ip.to_bits() & !u128::MAX.checked_shr(bits).unwrap_or(0)).into())
            }
        };
        Self { address, ..self }
    }
}

impl Reach {
    /// What is left of it, as the data plane reads it: nothing that no forward leads to. `hub`: where the hub listens.
    fn told(&self, denied: &[Network], hub: &[SocketAddr]) -> Vec<String> {
        let own = OWN.iter().filter_map(|own| Network::parse(own));
        let mut holes: Vec<Network> = own.clone().filter(|own| !self.names(*own)).collect();
        if !own.clone().any(|own| self.names(own)) {
            holes.extend(NEVER.iter().filter_map(|never| Network::parse(never)));
        }
        holes.extend(denied);
        let less = |networks: Vec<Network>, hole: &Network| -> Vec<Network> {
            networks.into_iter().flat_map(|network| without(network, hole)).collect()
        };
        let networks = holes.iter().fold(vec![self.network.masked()], less);
        let door = hub.first().map_or(0, SocketAddr::port);
        let single = |at: &SocketAddr| Network::parse(&at.ip().to_string());
        let doors: Vec<Network> = hub.iter().filter_map(single).collect();
        let (before, after) = (door.saturating_sub(1), door.checked_add(1));
        let parts = if door < self.from || self.to < door {
            vec![(networks, self.from, self.to)]
        } else {
            let at_door = doors.iter().fold(networks.clone(), less);
            let mut parts = vec![(networks.clone(), self.from, before), (at_door, door, door)];
            parts.extend(after.map(|after| (networks, after, self.to)));
            parts
        };
        let mut told = Vec::new();
        for (networks, from, to) in parts.into_iter().filter(|(_, from, to)| from <= to) {
            let text = |network: &Network| match network.address {
                IpAddr::V4(ip) => format!("{ip}/{}:{from}-{to}", network.bits),
                IpAddr::V6(ip) => format!("[{ip}/{}]:{from}-{to}", network.bits),
            };
            told.extend(networks.iter().map(text));
        }
        told
    }
}

impl Forwards {
    /// Whether one of `to` has this address, which neither is denied nor can be nobody's.
    fn reaches(&self, to: &[Reach], at: SocketAddr) -> bool {
        let ip = bare(at.ip());
        let at = SocketAddr::new(ip, at.port());
        if ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::from([255; 4]) {
            return false;
        }
        if self.denied_networks.iter().any(|network| network.contains(ip)) {
            return false;
        }
        let own = OWN.iter().filter_map(|own| Network::parse(own)).find(|own| own.contains(ip));
        to.iter().any(|reach| reach.has(at) && own.is_none_or(|own| reach.names(own)))
    }

    /// Whether a forward may lead there.
    fn leads_to(&self, at: SocketAddr) -> bool {
        self.reaches(&self.targets, at)
    }

    /// Whether this host may dial another one there, so that a forward needs no hub.
    pub fn dials(&self, at: SocketAddr) -> bool {
        self.reaches(&self.direct_to, at)
    }

    /// Where other hosts may dial this one; nowhere unless its owner has said so.
    pub fn dialed_at(&self) -> Vec<SocketAddr> {
        let Some(at) = self.direct else { return Vec::new() };
        match (self.direct_as.is_empty(), at.ip().is_unspecified()) {
            (false, _) => self.direct_as.clone(),
            // At which of its addresses others reach it only its owner knows.
            (true, true) => Vec::new(),
            (true, false) => vec![at],
        }
    }
}

/// The ports that the system gives to who wants any.
fn free_ports() -> (u16, u16) {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let read = text.ok().and_then(|text| {
        let mut words = text.split_whitespace().map(str::parse);
        Some((words.next()?.ok()?, words.next()?.ok()?))
    });
    read.unwrap_or((32_768, 60_999))
}

impl Policy {
    /// Those of the addresses of a far end that forwards may lead to; an error when there is none.
    pub fn allows_forward(
        &self,
        name: &str,
        mut addresses: Vec<SocketAddr>,
    ) -> Result<Vec<SocketAddr>, CallError> {
        let first = addresses.first().map(SocketAddr::to_string).unwrap_or_default();
        addresses.retain(|address| self.forwards.leads_to(*address));
        if addresses.is_empty() {
            let name = clean_to_width(name, 64);
            return Err(CallError::denied(format!(
                "this host's policy {} lets no forward lead to {name} ({first}); its owner can allow it with targets = [\"{first}\"] \
                 under [forwards]",
                self.place(),
            )));
        }
        Ok(addresses)
    }

    /// All that clients of a proxy may be led to, as the data plane reads it; never where the hub listens.
    pub fn forward_targets(&self, hub: &[SocketAddr]) -> Result<Vec<String>, CallError> {
        let Forwards { targets, denied_networks, .. } = &self.forwards;
        let all: Vec<String> =
            targets.iter().flat_map(|reach| reach.told(denied_networks, hub)).collect();
        if all.is_empty() {
            return Err(CallError::denied(format!(
                "this host's policy {} lets no forward lead anywhere; its owner can allow it with targets = [\"10.0.0.0/8:443\"] \
                 under [forwards]",
                self.place(),
            )));
        }
        Ok(all)
    }

    /// Whether relays of datagrams may be at this address: they take any port that the system has free.
    pub fn allows_relays_at(&self, ip: IpAddr) -> Result<(), CallError> {
        let (first, last) = free_ports();
        let has = |reach: &Reach| reach.has((ip, first).into()) && reach.has((ip, last).into());
        if self.forwards.listen.iter().any(has) {
            return Ok(());
        }
        let wanted = SocketAddr::new(ip, first);
        Err(CallError::denied(format!(
            "this host's policy {} lets no relays of datagrams listen at {ip}, which take free ports; its owner can allow it with listen = [\"{wanted}-{last}\"] under [forwards]",
            self.place(),
        )))
    }

    /// Whether a forward may listen there.
    pub fn allows_forward_at(&self, at: SocketAddr) -> Result<(), CallError> {
        if self.forwards.listen.iter().any(|reach| reach.has(at)) {
            return Ok(());
        }
        Err(CallError::denied(format!(
            "this host's policy {} lets no forward listen at {at}; its owner can allow it with listen = [\"{at}\"] under [forwards]",
            self.place(),
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn policy(text: &str) -> Policy {
        Policy::parse(Path::new("/etc/cmdr/agent.toml"), text).unwrap()
    }

    fn leads(policy: &Policy, at: &str) -> bool {
        policy.allows_forward("x", vec![at.parse().unwrap()]).is_ok()
    }

    #[test]
    fn relays_need_all_the_ports_that_the_system_gives() {
        let (first, last) = free_ports();
        assert!(first < last);
        let at = IpAddr::from([10, 0, 0, 1]);
        assert!(Policy::default().allows_relays_at(at).is_err());
        let some = policy("[forwards]\nlisten = [\"10.0.0.1:1-1024\"]\n");
        let told = some.allows_relays_at(at).unwrap_err().message;
        assert!(told.contains(&format!("10.0.0.1:{first}-{last}")), "{told}");
        let all = policy("[forwards]\nlisten = [\"10.0.0.0/24:1024-65535\"]\n");
        assert_eq!(all.allows_relays_at(at), Ok(()));
        assert!(all.allows_relays_at(IpAddr::from([10, 0, 1, 1])).is_err());
    }

    #[test]
    fn nothing_is_reached_and_nothing_listens_that_the_owner_has_not_named() {
        let none = Policy::default();
        assert!(!leads(&none, "10.0.0.5:5432"));
        assert!(none.allows_forward_at("127.0.0.1:8080".parse().unwrap()).is_err());
        let some = policy(
            "[forwards]\ntargets = [\"10.0.0.0/8:5432\", \"[fd00::/8]:80-90\"]\ndenied_networks = [\"10.9.0.0/16\"]\n\
             listen = [\"127.0.0.1:8000-8999\"]\n",
        );
        assert!(leads(&some, "10.0.0.5:5432") && leads(&some, "[fd00::1]:85"));
        assert!(leads(&some, "[::ffff:10.0.0.5]:5432"), "the same address in other clothes");
        for not in ["10.0.0.5:5433", "11.0.0.5:5432", "[fd00::1]:91", "10.9.0.1:5432"] {
            assert!(!leads(&some, not), "{not}");
        }
        assert!(some.allows_forward_at("127.0.0.1:8080".parse().unwrap()).is_ok());
        let refused = some.allows_forward_at("0.0.0.0:8080".parse().unwrap()).unwrap_err();
        assert!(refused.message.contains("/etc/cmdr/agent.toml"), "{refused}");
    }

    #[test]
    fn a_wide_network_covers_neither_the_host_itself_nor_who_gives_it_credentials() {
        let wide = policy("[forwards]\ntargets = [\"0.0.0.0/0:*\", \"[::/0]:*\"]\n");
        assert!(leads(&wide, "8.8.8.8:53"));
        for not in [
            "127.0.0.1:8500",
            "127.9.9.9:80",
            "[::1]:80",
            "[::ffff:127.0.0.1]:80",
            "[::127.0.0.1]:80",
            "[64:ff9b::7f00:1]:80",
            "169.254.169.254:80",
            "[64:ff9b::a9fe:a9fe]:80",
            "0.0.0.0:80",
            "[::]:80",
            "224.0.0.1:80",
            "255.255.255.255:80",
        ] {
            assert!(!leads(&wide, not), "{not}");
        }
        let named = policy("[forwards]\ntargets = [\"127.0.0.1:5432\", \"169.254.169.254:80\"]\n");
        assert!(leads(&named, "127.0.0.1:5432") && leads(&named, "169.254.169.254:80"));
        assert!(!leads(&named, "127.0.0.1:5433"));
    }

    #[test]
    fn a_proxy_leads_where_a_forward_may_and_nowhere_else() {
        let policy = policy(
            "[forwards]\ntargets = [\"0.0.0.0/0:1-1000\", \"[::/0]:80\", \"127.0.0.1:5432\", \"[::1]:81\", \"10.9.9.9/24:2000\"]\n\
             denied_networks = [\"10.9.0.0/16\", \"192.0.2.7\"]\n",
        );
        let hub: SocketAddr = "198.51.100.1:700".parse().unwrap();
        let told = policy.forward_targets(&[hub]).unwrap();
        let targets =
            cmdr_gateway::policy::targets::Targets::read(&told, &mut |why| panic!("{why}"));
        let mut led = 0;
        for at in [
            "8.8.8.8:53",
            "8.8.8.8:1001",
            "127.0.0.1:5432",
            "127.0.0.1:80",
            "127.0.0.2:5432",
            "[::1]:81",
            "[::1]:80",
            "[2001:db8::1]:80",
            "[2001:db8::1]:81",
            "[fe80::1]:80",
            "[ff02::1]:80",
            "[::]:80",
            "169.254.169.254:80",
            "0.0.0.0:80",
            "224.0.0.1:80",
            "255.255.255.255:80",
            "10.9.1.1:80",
            "10.9.9.1:2000",
            "10.10.0.1:80",
            "192.0.2.7:80",
            "192.0.2.6:80",
            "[::ffff:192.0.2.7]:80",
            "[::ffff:192.0.2.6]:80",
            "198.51.100.1:699",
            "198.51.100.2:700",
        ] {
            let allowed = targets.allow(at.parse().unwrap());
            assert_eq!(allowed, leads(&policy, at), "{at}");
            led += usize::from(allowed);
        }
        assert_eq!(led, 9);
        for not in ["198.51.100.1:700", "[64:ff9b::7f00:1]:80", "[::127.0.0.1]:80"] {
            assert!(!targets.allow(not.parse().unwrap()), "{not}");
        }
        assert!(Policy::default().forward_targets(&[]).is_err());
    }

    #[test]
    fn hosts_meet_without_the_hub_only_where_both_owners_have_said_so() {
        let at: SocketAddr = "10.0.0.5:7444".parse().unwrap();
        let none = Forwards::default();
        assert!(!none.dials(at) && none.dialed_at().is_empty());
        let listens = policy("[forwards]\ndirect = \"10.0.0.5:7444\"\n").forwards;
        assert_eq!(listens.dialed_at(), [at]);
        assert!(!listens.dials(at), "to be dialed is not to dial");
        let everywhere = policy("[forwards]\ndirect = \"0.0.0.0:7444\"\n").forwards;
        assert!(everywhere.dialed_at().is_empty(), "nobody can dial 0.0.0.0");
        let behind = "[forwards]\ndirect = \"0.0.0.0:7444\"\ndirect_as = [\"203.0.113.7:7000\"]\n";
        assert_eq!(policy(behind).forwards.dialed_at(), ["203.0.113.7:7000".parse().unwrap()]);
        let dials = policy(
            "[forwards]\ndirect_to = [\"0.0.0.0/0:7444\"]\ndenied_networks = [\"10.9.0.0/16\"]\n",
        );
        assert!(dials.forwards.dials(at));
        for not in ["10.0.0.5:22", "10.9.0.1:7444", "127.0.0.1:7444", "169.254.169.254:7444"] {
            assert!(!dials.forwards.dials(not.parse().unwrap()), "{not}");
        }
        for wrong in ["direct = \"7444\"", "direct = \"db1:7444\"", "direct_as = [\"0.0.0.0:1\"]"] {
            let text = format!("[forwards]\n{wrong}\n");
            assert!(Policy::parse(Path::new("p"), &text).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_network_with_ports_is_said_with_its_line() {
        for bad in ["10.0.0.0/8", "10.0.0.0/8:0", "fd00::/8:80", "10.0.0.1:9-8", "ten:1", ":80"] {
            assert!(Reach::parse(bad).is_none(), "{bad}");
        }
        let wrong = Policy::parse(Path::new("p"), "[forwards]\ntargets = [\"db1:80\"]\n");
        let told = wrong.unwrap_err().to_string();
        assert!(told.starts_with("p:2: here should be a network and ports"), "{told}");
    }
}
