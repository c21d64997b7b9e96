//! Machines without an agent that this operator has been at: as whom, and through which host. A small file in
//! their home, shared by `cmdr` and `cmdr-tui`, so that the next time a name is enough.

use crate::files;
use std::io;
use std::path::Path;

/// The file in a home.
const FILE: &str = "ssh-places";
/// So many are remembered.
const MOST: usize = 200;
/// A longer file is not ours.
const LONGEST: u64 = 256 * 1024;

/// One of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// As whom.
    pub user: String,
    /// The machine.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The host of the fleet that it was reached through, by its name.
    pub via: String,
}

impl Place {
    /// `USER@HOST:PORT`.
    pub fn target(&self) -> String {
        format!("{}@{}", self.user, cmdr_protocol::ssh::place(&self.host, self.port))
    }

    fn line(&self) -> String {
        format!("{} {}\n", self.target(), self.via)
    }

    fn read(line: &str) -> Option<Self> {
        let (target, via) = line.split_once(' ')?;
        let (user, host, port) = cmdr_protocol::ssh::target(target).ok()?;
        Some(Self { user: user?, host, port: port?, via: via.to_owned() })
    }
}

/// All that are remembered, the newest first. A file that cannot be read is none.
pub fn all(home: &Path) -> Vec<Place> {
    let read = files::read_private(&home.join(FILE), LONGEST).unwrap_or_default();
    String::from_utf8_lossy(&read).lines().filter_map(Place::read).collect()
}

/// Remembers one as the newest.
pub fn remember(home: &Path, place: &Place) -> io::Result<()> {
    let others = all(home).into_iter().filter(|other| other != place).take(MOST - 1);
    let text: String = std::iter::once(place.clone()).chain(others).map(|one| one.line()).collect();
    files::private_dir(home)?;
    files::write_private(&home.join(FILE), text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_found_again_the_newest_first_and_once() {
        let dir = tempfile::tempdir().unwrap();
        let place = |host: &str| Place {
            user: "deploy".into(),
            host: host.into(),
            port: 2222,
            via: "web1".into(),
        };
        assert!(all(dir.path()).is_empty());
        for host in ["db7", "::1", "db7"] {
            remember(dir.path(), &place(host)).unwrap();
        }
        assert_eq!(all(dir.path()), [place("db7"), place("::1")]);
    }
}
