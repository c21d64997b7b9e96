//! Where a hub is dialed, as text: checked wherever a person types one, before it is written into a
//! token or a file that others rely on.

use std::net::Ipv6Addr;

/// The longest name that the domain name system has.
const LONGEST: usize = 253;

/// Whether `text` is `name:port`, `1.2.3.4:port` or `[v6]:port`; otherwise what is wrong with it.
pub fn check(text: &str) -> Result<(), String> {
    let shown = crate::display::clean_to_width(text, 80);
    let wrong = |what: &str| {
        Err(format!("'{shown}' is no address: {what}; give HOST:PORT, such as hub.example:7700"))
    };
    let Some((host, port)) = text.rsplit_once(':') else { return wrong("it has no port") };
    if text.contains("://") {
        return wrong("it is not a web address");
    }
    if host.contains(':') && !host.starts_with('[') {
        return Err(format!(
            "'{shown}' is no address: an IPv6 address stands in brackets, such as [2001:db8::1]:7700"
        ));
    }
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    if !digits || port.parse::<u16>().is_ok_and(|p| p == 0) || port.parse::<u16>().is_err() {
        return wrong("its port is not a number from 1 to 65535");
    }
    if let Some(inner) = host.strip_prefix('[') {
        return match inner.strip_suffix(']').map(str::parse::<Ipv6Addr>) {
            Some(Ok(_)) => Ok(()),
            _ => wrong("what stands in brackets is no IPv6 address"),
        };
    }
    if host.is_empty() {
        return wrong("it names no host");
    }
    if host.len() > LONGEST {
        return wrong("its name is too long");
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if !host.chars().all(plain) || host.starts_with(['-', '.']) {
        return wrong("its name may have letters, digits, dots, dashes and underscores");
    }
    Ok(())
}

/// As [`check`], for the parsers of command lines.
pub fn parse(text: &str) -> Result<String, String> {
    check(text).map(|()| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_and_addresses_with_a_port_are_taken() {
        for right in ["hub:7700", "hub.example.org.:1", "10.0.0.1:65535", "[::1]:7700", "a_b-c:80"]
        {
            assert_eq!(check(right), Ok(()), "{right}");
        }
    }

    #[test]
    fn what_nobody_could_dial_is_refused_with_the_reason() {
        let cases = [
            ("", "no port"),
            ("hub", "no port"),
            ("hub:", "port is not a number"),
            ("hub:0", "port is not a number"),
            ("hub:65536", "port is not a number"),
            ("hub:+80", "port is not a number"),
            ("hub:http", "port is not a number"),
            (":7700", "names no host"),
            ("::1:7700", "in brackets"),
            ("[::1:7700", "no IPv6 address"),
            ("[hub]:7700", "no IPv6 address"),
            ("my hub:7700", "letters"),
            ("http://hub:7700", "not a web address"),
            ("user@hub:7700", "letters"),
            ("-x:7700", "letters"),
        ];
        for (wrong, why) in cases {
            let error = check(wrong).unwrap_err();
            assert!(error.contains(why), "{wrong}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_taken_or_refused_in_one_line(text in ".{0,300}") {
            if let Err(e) = check(&text) {
                prop_assert!(!e.contains('\n'));
            }
        }
    }
}
