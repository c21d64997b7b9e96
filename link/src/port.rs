//! The port of a private hub, for `cmdr up` and tests. It is kept from one start to the next, so it must not be one that the
//! system lends to outgoing connections and to listeners without a wish meanwhile.

use std::net::TcpListener;

/// Below what Linux lends out (32768 and up), away from what has a name.
const FROM: u16 = 20_000;
const COUNT: u16 = 10_000;
const TRIES: usize = 64;

/// A port that is free now and likely to be so at the next start; 0, which lets the system choose, when
/// none was found.
pub fn choose() -> u16 {
    let mut random = [0; 2];
    for _ in 0..TRIES {
        if getrandom::fill(&mut random).is_err() {
            break;
        }
        let port = FROM + u16::from_be_bytes(random) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_free_and_not_one_that_the_system_lends_out() {
        let port = choose();
        assert!((FROM..FROM + COUNT).contains(&port), "{port}");
        TcpListener::bind(("127.0.0.1", port)).unwrap();
    }
}
