//! What `HOST:PATH` means, and what is a path of this machine.

use clap::builder::{OsStringValueParser, TypedValueParser};
use cmdr_protocol::files::FilePath;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

/// A file of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::commands) struct Remote {
    /// Whose: a name, or a selector where several are meant.
    pub(in crate::commands) host: String,
    /// Which.
    pub(in crate::commands) path: FilePath,
    /// Written with a slash at its end: a folder is meant.
    pub(in crate::commands) folder: bool,
}

/// A file of a host or of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::commands) enum Role {
    /// Of this machine.
    Local(PathBuf),
    /// Of a host.
    Remote(Remote),
}

/// Reads either. A colon before any slash parts a host from its path; a file of this machine with such a name
/// is written `./a:b`.
pub(in crate::commands) fn parse(text: &OsStr) -> Result<Role, String> {
    let bytes = text.as_bytes();
    let colon = bytes.iter().position(|b| *b == b':');
    let slash = bytes.iter().position(|b| *b == b'/');
    let Some(colon) = colon.filter(|colon| slash.is_none_or(|slash| *colon < slash)) else {
        return Ok(Role::Local(PathBuf::from(text)));
    };
    let (host, path) = (&bytes[..colon], &bytes[colon + 1..]);
    let host = std::str::from_utf8(host).map_err(|_| "the host's name is no text".to_owned())?;
    if host.is_empty() {
        return Err("no host is named before the colon".to_owned());
    }
    let folder = path.ends_with(b"/");
    let path = FilePath::from_bytes(path).map_err(|e| e.to_string())?;
    Ok(Role::Remote(Remote { host: host.to_owned(), path, folder }))
}

/// Reads a file of a host, for the command line: any bytes.
pub(in crate::commands) fn remote() -> impl TypedValueParser<Value = Remote> {
    OsStringValueParser::new().try_map(|text| match parse(&text)? {
        Role::Remote(remote) => Ok(remote),
        Role::Local(path) => Err(format!("'{}' names no host; write HOST:PATH", path.display())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colon_before_any_slash_parts_host_and_path() {
        let remote = |text: &str| match parse(OsStr::new(text)).unwrap() {
            Role::Remote(remote) => (remote.host, remote.path.as_str().to_owned(), remote.folder),
            Role::Local(path) => panic!("{}", path.display()),
        };
        assert_eq!(remote("web1:/etc/hosts"), ("web1".into(), "/etc/hosts".into(), false));
        assert_eq!(
            remote("role=web,!db1:/srv//a/"),
            ("role=web,!db1".into(), "/srv/a".into(), true)
        );
        assert_eq!(remote("w:/a:b%"), ("w".into(), "/a:b%25".into(), false));
        for local in ["a", "./a:b", "/x:y", "dir/a:b"] {
            assert_eq!(parse(OsStr::new(local)).unwrap(), Role::Local(local.into()));
        }
        for wrong in [":/a", "web1:", "web1:etc", "web1:/a/../b"] {
            assert!(parse(OsStr::new(wrong)).is_err(), "{wrong}");
        }
        let odd = OsStr::from_bytes(b"web1:/\xff");
        assert!(matches!(parse(odd).unwrap(), Role::Remote(r) if r.path.as_str() == "/%ff"));
    }
}
