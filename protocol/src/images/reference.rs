//! Names of images: `nginx`, `registry:5000/team/web:1.2`, `web@sha256:…`, or the id of one. What is none is
//! never sent to an engine, which would make a path of it.

use std::fmt;

/// The registry of names that say none.
pub const USUAL: &str = "docker.io";
/// The longest name.
pub const LONGEST: usize = 512;

/// A name taken apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// `docker.io` when the name says none.
    pub registry: String,
    /// `library/nginx`, `team/web`.
    pub repository: String,
    /// `latest` when the name has neither tag nor digest.
    pub tag: Option<String>,
    /// `sha256:…`.
    pub digest: Option<String>,
}

impl Reference {
    /// Reads a name; else says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad = |why: &str| {
            let shown = crate::display::clean_to_width(text, 80);
            format!("'{shown}' is not the name of an image such as nginx:1.27: {why}")
        };
        if text.is_empty() || text.len() > LONGEST {
            return Err(bad("it has 1 to 512 characters"));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) if is_digest(digest) => (rest, Some(digest.to_owned())),
            Some(_) => return Err(bad("after '@' stands sha256: and 64 hexadecimal digits")),
            None => (text, None),
        };
        let after_slash = rest.rfind('/').map_or(0, |at| at + 1);
        let (rest, tag) = match rest[after_slash..].find(':') {
            Some(at) => {
                let (name, tag) = (&rest[..after_slash + at], &rest[after_slash + at + 1..]);
                if !is_tag(tag) {
                    return Err(bad("a tag has up to 128 letters, digits, '_', '.' and '-'"));
                }
                (name, Some(tag.to_owned()))
            }
            None => (rest, None),
        };
        let (registry, path) = match rest.split_once('/') {
            Some((first, path)) if names_a_registry(first) => (first, path),
            _ => (USUAL, rest),
        };
        if registry != USUAL && !is_registry(registry) {
            return Err(bad("before the first '/' stands a host, with a port or without"));
        }
        if path.is_empty() || !path.split('/').all(is_component) {
            return Err(bad(
                "its parts have small letters, digits, and '.', '_', '-' between them",
            ));
        }
        let official = registry == USUAL && !path.contains('/');
        let repository = if official { format!("library/{path}") } else { path.to_owned() };
        let tag = tag.or_else(|| digest.is_none().then(|| "latest".to_owned()));
        Ok(Self { registry: registry.to_owned(), repository, tag, digest })
    }

    /// The name without tag and digest, as people write it.
    pub fn name(&self) -> String {
        let whole = format!("{}/{}", self.registry, self.repository);
        let official = self.repository.strip_prefix("library/").filter(|rest| !rest.contains('/'));
        let short = official.unwrap_or(&self.repository);
        // Some would be another registry's without it: docker.io/localhost/x.
        let same =
            |read: Self| read.registry == self.registry && read.repository == self.repository;
        let is_usual = self.registry == USUAL && Self::parse(short).is_ok_and(same);
        if is_usual { short.to_owned() } else { whole }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

/// Whether this can be an image that is there: a name, or an id or its beginning.
pub fn check_image(text: &str) -> Result<(), String> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    let id = (1..=64).contains(&hex.len()) && hex.bytes().all(is_hex);
    if id { Ok(()) } else { Reference::parse(text).map(drop) }
}

/// Whether this can be a registry: a host, with a port or without.
pub fn check_registry(text: &str) -> Result<(), String> {
    if is_registry(text) {
        return Ok(());
    }
    let shown = crate::display::clean_to_width(text, 80);
    Err(format!("'{shown}' is not a registry such as registry.example.org:5000"))
}

/// Whether this can be the name of a volume or a network.
pub fn check_name(what: &str, text: &str) -> Result<(), String> {
    let fine = |c: u8| c.is_ascii_alphanumeric() || b"_.-".contains(&c);
    let first = text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
    if first && text.len() <= 255 && text.bytes().all(fine) {
        return Ok(());
    }
    let shown = crate::display::clean_to_width(text, 80);
    Err(format!(
        "'{shown}' is not the name of a {what}: it has letters, digits, '_', '.' and '-', and begins with a letter or digit"
    ))
}

fn is_hex(c: u8) -> bool {
    c.is_ascii_digit() || (b'a'..=b'f').contains(&c)
}

/// `sha256:` and 64 hexadecimal digits.
pub fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64 && hex.bytes().all(is_hex))
}

/// Whether this can be a tag.
pub fn is_tag(text: &str) -> bool {
    let first = text.as_bytes().first().is_some_and(|c| c.is_ascii_alphanumeric() || *c == b'_');
    let fine = |c: u8| c.is_ascii_alphanumeric() || b"_.-".contains(&c);
    first && text.len() <= 128 && text.bytes().all(fine)
}

fn names_a_registry(first: &str) -> bool {
    first == "localhost"
        || first.contains(['.', ':'])
        || first.bytes().any(|c| c.is_ascii_uppercase())
}

fn is_registry(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, port)) => {
                let six = host.parse::<std::net::Ipv6Addr>().is_ok();
                return six && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
            }
            None => return false,
        },
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let label = |label: &str| {
        let bytes = label.as_bytes();
        let ends = bytes.first().zip(bytes.last());
        ends.is_some_and(|(a, z)| a.is_ascii_alphanumeric() && z.is_ascii_alphanumeric())
            && label.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
    };
    host.len() <= 253 && host.split('.').all(label) && port.is_none_or(is_port)
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok_and(|port| port > 0) && !text.starts_with('+')
}

/// Small letters and digits, between which stand '.', one or two '_', or any number of '-'.
fn is_component(text: &str) -> bool {
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let bytes = text.as_bytes();
    let ends = bytes.first().zip(bytes.last()).is_some_and(|(a, z)| plain(*a) && plain(*z));
    let separators = text.split(|c: char| plain(u8::try_from(c).unwrap_or(0)));
    ends && separators
        .filter(|between| !between.is_empty())
        .all(|s| matches!(s, "." | "_" | "__") || s.bytes().all(|c| c == b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_is_taken_apart_and_told_again() {
        let parts = |text: &str| {
            let r = Reference::parse(text).unwrap();
            (r.registry.clone(), r.repository.clone(), r.tag.clone(), r.to_string())
        };
        let owned = |a: &str, b: &str, c: &str, d: &str| {
            (a.to_owned(), b.to_owned(), Some(c.to_owned()), d.to_owned())
        };
        assert_eq!(parts("nginx"), owned(USUAL, "library/nginx", "latest", "nginx:latest"));
        assert_eq!(parts("team/web:1"), owned(USUAL, "team/web", "1", "team/web:1"));
        assert_eq!(
            parts("localhost:5000/web"),
            owned("localhost:5000", "web", "latest", "localhost:5000/web:latest")
        );
        assert_eq!(
            parts("reg.example.org/a/b-c__d:v1.2"),
            owned("reg.example.org", "a/b-c__d", "v1.2", "reg.example.org/a/b-c__d:v1.2")
        );
        let digest = format!("web@sha256:{}", "a".repeat(64));
        let read = Reference::parse(&digest).unwrap();
        assert_eq!((read.tag.clone(), read.to_string()), (None, digest));
    }

    #[test]
    fn what_would_lead_elsewhere_in_the_engine_is_no_name() {
        let long = "a".repeat(513);
        for bad in [
            "",
            "..",
            "a/../b",
            "../containers/x",
            "a//b",
            "/a",
            "a/",
            "a b",
            "a?force=1",
            "a#b",
            "a%2e",
            "A",
            "a:",
            "a:x/y:z:w",
            "a@sha256:12",
            "localhost:99999999/x",
            "-a",
            "a_-b",
            "a\u{1b}",
            &long,
        ] {
            assert!(check_image(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "sha256:0a", "0123456789ab", "localhost:5000/x", "[::1]:5000/x"] {
            assert!(check_image(good).is_ok(), "{good:?}");
        }
        for bad in ["", "..", "a/b", "-a", "a b", "a?b"] {
            assert!(check_name("volume", bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_taken_has_nothing_that_ends_a_path(text in "[a-zA-Z0-9./:@_%?# -]{0,40}") {
            if check_image(&text).is_ok() {
                prop_assert!(!text.contains(['?', '#', '%', ' ']));
                prop_assert!(text.split('/').all(|part| !part.is_empty() && part != "." && part != ".."));
            }
        }

        #[test]
        fn a_name_told_again_is_the_same(text in "[a-z0-9]{1,8}(/[a-z0-9]{1,8}){0,2}(:[a-zA-Z0-9]{1,8})?") {
            let read = Reference::parse(&text).unwrap();
            prop_assert_eq!(Reference::parse(&read.to_string()).unwrap(), read);
        }
    }
}
