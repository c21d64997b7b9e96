//! What is read of a connection's first bytes before anything is forwarded: PROXY headers, the name
//! in a TLS hello, SOCKS5 and HTTP proxy requests. Pure functions over the bytes so far, called by
//! the event loop each time there are more; every one is bounded and never panics.

pub mod http;
pub mod proxy;
pub mod sni;
pub mod socks;

/// What the bytes so far amount to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read<T> {
    /// Right as far as it goes, and not whole yet.
    More,
    /// Whole: what it says.
    Whole(T),
    /// It can never become right; the reason for the log, without bytes of the client's.
    Bad(&'static str),
}

/// Says whether a user with a password may come in.
pub type May<'a> = &'a dyn Fn(&[u8], &[u8]) -> bool;

/// A place that a client asks for: what forward front ends connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Address(std::net::SocketAddr),
    /// A name to be resolved here, and a port. The name is printable ASCII, at most 255 bytes.
    Name(String, u16),
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Name(name, port) => write!(f, "{name}:{port}"),
        }
    }
}

/// Whether a text can be the name of a host: letters, digits, `-`, `_` and dots, at most 255 bytes.
pub fn is_host_name(name: &[u8]) -> bool {
    !name.is_empty()
        && name.len() <= 255
        && name.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && !name.starts_with(b".")
}
