//! The small texts in a specification: ports, mounts, devices, sizes.

/// A port that is reached at the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// The host's address; empty for all.
    pub address: String,
    /// The host's port; absent for any that is free.
    pub public: Option<u16>,
    /// The port inside.
    pub private: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
}

/// Something that is mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mounted {
    /// A path of the host or the name of a volume; empty for a volume without a name.
    pub source: String,
    /// Where, inside.
    pub target: String,
    /// `ro`, `z` and so on, as the engine has them.
    pub options: String,
}

impl Mounted {
    /// Whether it is a folder or file of the host.
    pub fn is_of_host(&self) -> bool {
        self.source.starts_with('/')
    }
}

/// A device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// The host's.
    pub host: String,
    /// Where, inside.
    pub inside: String,
    /// `r`, `w` and `m`.
    pub rights: String,
}

/// Reads `80` or `8000-8010`.
pub(super) fn range(text: &str) -> Result<(u16, u16), String> {
    let wrong = || format!("'{text}' is no port from 1 to 65535");
    let one = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(wrong);
    match text.split_once('-') {
        Some((first, last)) => {
            let (first, last) = (one(first)?, one(last)?);
            if first <= last { Ok((first, last)) } else { Err(wrong()) }
        }
        None => one(text).map(|port| (port, port)),
    }
}

/// Reads ports: `8080:80`, `127.0.0.1:8080:80/tcp`, `[::1]:8080:80`, `8000-8010:8000-8010`, `80`.
pub fn port(text: &str) -> Result<Vec<Published>, String> {
    let wrong =
        |what: String| format!("'{text}' is not [ADDRESS:]HOST:CONTAINER[/tcp|udp|sctp]: {what}");
    let (plain, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    if !matches!(protocol, "tcp" | "udp" | "sctp") {
        return Err(wrong(format!("there is no protocol '{protocol}'")));
    }
    let (address, ports) = if let Some(rest) = plain.strip_prefix('[') {
        rest.split_once("]:").ok_or_else(|| wrong("the address does not end".into()))?
    } else {
        match plain.rsplitn(3, ':').collect::<Vec<_>>().as_slice() {
            [_, _, address] => (*address, &plain[address.len() + 1..]),
            _ => ("", plain),
        }
    };
    if !address.is_empty() && address.parse::<std::net::IpAddr>().is_err() {
        return Err(wrong(format!("'{address}' is no address")));
    }
    let (public, private) = match ports.split_once(':') {
        Some((public, private)) => (public, private),
        None => ("", ports),
    };
    let (first, last) = range(private).map_err(wrong)?;
    if usize::from(last - first) >= super::MOST {
        return Err(wrong(format!("at most {} ports at once", super::MOST)));
    }
    let public = if public.is_empty() { None } else { Some(range(public).map_err(wrong)?) };
    if public.is_some_and(|(from, to)| to - from != last - first) {
        return Err(wrong("both ranges are to have the same length".into()));
    }
    let each = (0..=last - first).map(|n| Published {
        address: address.to_owned(),
        public: public.map(|(from, _)| from + n),
        private: first + n,
        protocol: protocol.to_owned(),
    });
    Ok(each.collect())
}

/// Whether a path leads where its letters say.
fn plain(path: &str) -> bool {
    !path.contains('\0') && path.split('/').all(|part| !matches!(part, "." | ".."))
}

/// Reads something that is mounted: `/srv/x:/x:ro`, `data:/data`, `/cache`.
pub fn volume(text: &str) -> Result<Mounted, String> {
    let wrong = |what: &str| Err(format!("'{text}' is not [SOURCE:]TARGET[:OPTIONS]: {what}"));
    let mut parts = text.splitn(3, ':');
    let (first, second, options) =
        (parts.next().unwrap_or_default(), parts.next(), parts.next().unwrap_or_default());
    let (source, target) = match second {
        Some(target) => (first, target),
        None => ("", first),
    };
    if !target.starts_with('/') || target == "/" || !plain(target) {
        return wrong("the target is a path inside such as /data");
    }
    if source.starts_with(['.', '~']) {
        return wrong("a path of the host is written from the root on");
    }
    if source.starts_with('/') && !plain(source) {
        return wrong("'.' and '..' are not parts of a path here");
    }
    let name =
        source.is_empty() && second.is_none() || source.starts_with('/') || super::is_name(source);
    if !name {
        return wrong("the source is a path of the host or the name of a volume");
    }
    let known = |option: &str| {
        matches!(
            option,
            "" | "ro"
                | "rw"
                | "z"
                | "Z"
                | "nocopy"
                | "private"
                | "rprivate"
                | "shared"
                | "rshared"
                | "slave"
                | "rslave"
                | "cached"
                | "delegated"
                | "consistent"
        )
    };
    if let Some(option) = options.split(',').find(|option| !known(option)) {
        return wrong(&format!("there is no option '{option}'"));
    }
    Ok(Mounted {
        source: source.to_owned(),
        target: target.to_owned(),
        options: options.to_owned(),
    })
}

/// Reads a device: `/dev/fuse`, `/dev/sda:/dev/xvda:r`.
pub fn device(text: &str) -> Result<Device, String> {
    let mut parts = text.splitn(3, ':');
    let host = parts.next().unwrap_or_default();
    let (inside, rights) = match (parts.next(), parts.next()) {
        (Some(rights), None) if !rights.starts_with('/') => (host, rights),
        (inside, rights) => (inside.unwrap_or(host), rights.unwrap_or("rwm")),
    };
    let is_path = |path: &str| path.starts_with('/') && plain(path);
    if !is_path(host)
        || !is_path(inside)
        || rights.is_empty()
        || rights.chars().any(|c| !"rwm".contains(c))
    {
        return Err(format!("'{text}' is not /dev/HOST[:/dev/INSIDE[:rwm]]"));
    }
    Ok(Device { host: host.to_owned(), inside: inside.to_owned(), rights: rights.to_owned() })
}

/// Reads a size: `1024`, `64k`, `512m`, `2g`, `1.5g`.
pub fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("'{text}' is no size such as 512m or 2g");
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
    let shift = match &lower[digits..] {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(wrong()),
    };
    let number: f64 = lower[..digits].parse().map_err(|_| wrong())?;
    let bytes = number * (1u64 << shift) as f64;
    if bytes < 9e18 { Ok(bytes as u64) } else { Err(wrong()) }
}

/// Reads processors (`1.5`) as billionths.
pub fn nanos(text: &str) -> Result<i64, String> {
    match text.trim().parse::<f64>() {
        Ok(cpus) if cpus > 0.0 && cpus < 1e6 => Ok((cpus * 1e9).round() as i64),
        _ => Err(format!("'{text}' is no number of processors such as 1.5")),
    }
}

/// Reads when something is started again: the word, and how often at most (0 for always).
pub fn restart(text: &str) -> Result<(&'static str, u32), String> {
    match text.split_once(':').map_or((text, None), |(word, times)| (word, Some(times))) {
        ("no", None) => Ok(("no", 0)),
        ("always", None) => Ok(("always", 0)),
        ("unless-stopped", None) => Ok(("unless-stopped", 0)),
        ("on-failure", None) => Ok(("on-failure", 0)),
        ("on-failure", Some(times)) if times.parse::<u16>().is_ok() => {
            Ok(("on-failure", times.parse().unwrap_or_default()))
        }
        _ => Err(format!(
            "'{text}' is none of no, always, unless-stopped, on-failure and on-failure:TIMES"
        )),
    }
}

/// Reads a limit of a process: `nofile=1024:2048`, `nproc=64`.
pub fn ulimit(text: &str) -> Result<(String, i64, i64), String> {
    let wrong = || format!("'{text}' is not NAME=SOFT[:HARD]");
    let (name, values) =
        text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(wrong)?;
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    let (soft, hard) = (soft.parse().map_err(|_| wrong())?, hard.parse().map_err(|_| wrong())?);
    Ok((name.to_owned(), soft, hard))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ports_are_read_in_all_their_forms() {
        let one = |text: &str| {
            let all = port(text).unwrap();
            assert_eq!(all.len(), 1, "{text}");
            let p = &all[0];
            (p.address.clone(), p.public, p.private, p.protocol.clone())
        };
        let told = |address: &str, public, private, protocol: &str| {
            (address.to_owned(), public, private, protocol.to_owned())
        };
        assert_eq!(one("80"), told("", None, 80, "tcp"));
        assert_eq!(one("8080:80"), told("", Some(8080), 80, "tcp"));
        assert_eq!(one("53:53/udp"), told("", Some(53), 53, "udp"));
        assert_eq!(one("127.0.0.1:8080:80"), told("127.0.0.1", Some(8080), 80, "tcp"));
        assert_eq!(one("127.0.0.1::80"), told("127.0.0.1", None, 80, "tcp"));
        assert_eq!(one("[::1]:8080:80"), told("::1", Some(8080), 80, "tcp"));
        let range = port("8000-8002:80-82").unwrap();
        assert_eq!((range.len(), range[2].public, range[2].private), (3, Some(8002), 82));
        for bad in
            ["", "0", "70000", "a:80", "80:80/icmp", "1-3:1-2", "3-1", "x:1:2", "[::1", "1:2:3:4"]
        {
            assert!(port(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn mounts_are_read_and_paths_that_lead_elsewhere_refused() {
        let read = |text: &str| {
            let m = volume(text).unwrap();
            (m.is_of_host(), m.source, m.target, m.options)
        };
        let told = |host, source: &str, target: &str, options: &str| {
            (host, source.to_owned(), target.to_owned(), options.to_owned())
        };
        assert_eq!(read("/cache"), told(false, "", "/cache", ""));
        assert_eq!(read("data:/data"), told(false, "data", "/data", ""));
        assert_eq!(read("/srv/x:/x:ro,z"), told(true, "/srv/x", "/x", "ro,z"));
        for bad in [
            "",
            "x",
            "/a:b",
            "/srv/../etc:/x",
            "./x:/x",
            "~/x:/x",
            "a/b:/x",
            "/a:/",
            "/a:/b:exec",
            ":/x",
        ] {
            assert!(volume(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_devices_limits_and_words_are_read() {
        assert_eq!((bytes("512m"), bytes("1.5g")), (Ok(512 << 20), Ok(3 << 29)));
        assert!(["", "x", "1x", "-1", "99999999t", "."].iter().all(|bad| bytes(bad).is_err()));
        assert_eq!(nanos("1.5"), Ok(1_500_000_000));
        assert!(["0", "-1", "x", "inf", "nan"].iter().all(|bad| nanos(bad).is_err()));
        assert_eq!(restart("on-failure:5"), Ok(("on-failure", 5)));
        assert!(["", "never", "always:3", "on-failure:x"].iter().all(|bad| restart(bad).is_err()));
        assert_eq!(ulimit("nofile=1024:2048"), Ok(("nofile".into(), 1024, 2048)));
        assert_eq!(device("/dev/a:r").unwrap().rights, "r");
        assert_eq!(device("/dev/a:/dev/b").unwrap().inside, "/dev/b");
        assert!(["", "a", "/dev/../x", "/dev/a:/dev/b:q"].iter().all(|bad| device(bad).is_err()));
    }

    proptest! {
        #[test]
        fn no_text_brings_a_reader_down(text in "[0-9a-z:/\\-\\[\\]=.,+é]{0,24}") {
            drop((port(&text), volume(&text), device(&text), bytes(&text), ulimit(&text), restart(&text)));
        }
    }
}
