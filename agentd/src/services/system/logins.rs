//! Users who are logged in, out of the file that login programs keep (`utmp`). Hosts that keep none,
//! as newer ones do, tell sessions in the folder of systemd's login manager.

use crate::Config;
use crate::text::{lossy, number, small};
use cmdr_link::clock;
use cmdr_protocol::system::{Found, Login};
use std::fs::File;
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

/// One entry, as glibc writes it on every 64-bit machine.
const ENTRY: usize = 384;
/// The most of the file that is read.
const FILE: u64 = 4 << 20;
/// The kind of entry that is a user.
const USER: i16 = 7;
/// The most users that are told of.
const MOST: usize = 2000;

pub(super) fn read(config: &Config) -> Found<Login> {
    let mut found = Found::default();
    let mut bytes = Vec::new();
    let file = File::open(config.run_root.join("utmp"));
    let kept = file.and_then(|file| file.take(FILE).read_to_end(&mut bytes)).is_ok();
    found.rows = parse(&bytes);
    // An entry may outlive its login.
    found
        .rows
        .retain(|login| login.pid == 0 || config.proc_root.join(login.pid.to_string()).exists());
    let sessions = config.run_root.join("systemd/sessions");
    if let Ok(entries) = std::fs::read_dir(&sessions) {
        for entry in entries.flatten() {
            let Some(login) = session(&small(&entry.path())) else { continue };
            let same = |other: &Login| {
                other.pid == login.pid
                    || !login.terminal.is_empty() && other.terminal == login.terminal
            };
            if !found.rows.iter().any(same) {
                found.rows.push(login);
            }
        }
    } else if !kept {
        found.notes.push("this host keeps no list of who is logged in".to_owned());
    }
    found.rows.truncate(MOST);
    let now_s = clock::now_ms() / 1000;
    for login in found.rows.iter_mut().filter(|login| !login.terminal.is_empty()) {
        login.idle_s = idle(Path::new("/dev"), &login.terminal, now_s);
    }
    found.rows.sort_by(|a, b| a.since_s.cmp(&b.since_s).then(a.user.cmp(&b.user)));
    found
}

/// Entries of users; others, and those that are cut short, are left out.
pub(super) fn parse(bytes: &[u8]) -> Vec<Login> {
    bytes.chunks_exact(ENTRY).filter_map(entry).take(MOST).collect()
}

fn entry(bytes: &[u8]) -> Option<Login> {
    let word = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(i32::from_ne_bytes);
    let text = |from: usize, len: usize| {
        let field = bytes.get(from..from + len).unwrap_or_default();
        let end = field.iter().position(|b| *b == 0).unwrap_or(field.len());
        lossy(&field[..end])
    };
    let kind = i16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?);
    let user = text(44, 32);
    if kind != USER || user.is_empty() {
        return None;
    }
    let host = text(76, 256);
    let from = if host.is_empty() { address(bytes.get(348..364)?) } else { host };
    let since_s = u64::try_from(word(340)?).unwrap_or(0);
    let pid = u32::try_from(word(4)?).unwrap_or(0);
    Some(Login { user, terminal: text(8, 32), from, since_s, idle_s: None, pid })
}

fn address(bytes: &[u8]) -> String {
    let Ok(all) = <[u8; 16]>::try_from(bytes) else { return String::new() };
    if all == [0; 16] {
        return String::new();
    }
    if all[4..] == [0; 12] {
        return IpAddr::V4(Ipv4Addr::new(all[0], all[1], all[2], all[3])).to_string();
    }
    IpAddr::V6(Ipv6Addr::from(all)).to_string()
}

/// A session as the login manager writes it down.
fn session(text: &str) -> Option<Login> {
    let field = |name: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        found.unwrap_or_default().trim_matches('"').to_owned()
    };
    let user = field("USER");
    // Greeters and background sessions are nobody who is logged in.
    if user.is_empty() || field("CLASS") != "user" || field("STATE") == "closing" {
        return None;
    }
    let figure = |name: &str| number(field(name).as_bytes()).unwrap_or(0);
    Some(Login {
        user,
        terminal: field("TTY"),
        from: field("REMOTE_HOST"),
        since_s: figure("REALTIME") / 1_000_000,
        idle_s: None,
        pid: u32::try_from(figure("LEADER")).unwrap_or(0),
    })
}

/// Seconds since somebody pressed a key on this terminal.
fn idle(dev: &Path, terminal: &str, now_s: u64) -> Option<u64> {
    use std::os::unix::fs::MetadataExt as _;
    if terminal.contains("..") || terminal.starts_with('/') || terminal.starts_with(':') {
        return None;
    }
    let meta = std::fs::symlink_metadata(dev.join(terminal)).ok()?;
    let touched = u64::try_from(meta.atime()).ok()?;
    Some(now_s.saturating_sub(touched))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn raw(kind: i16, user: &str, terminal: &str, host: &str, since_s: i32, pid: i32) -> Vec<u8> {
        let mut bytes = vec![0; ENTRY];
        bytes[..2].copy_from_slice(&kind.to_ne_bytes());
        bytes[4..8].copy_from_slice(&pid.to_ne_bytes());
        bytes[8..8 + terminal.len()].copy_from_slice(terminal.as_bytes());
        bytes[44..44 + user.len()].copy_from_slice(user.as_bytes());
        bytes[76..76 + host.len()].copy_from_slice(host.as_bytes());
        bytes[340..344].copy_from_slice(&since_s.to_ne_bytes());
        bytes
    }

    #[test]
    fn users_are_told_and_other_entries_and_pieces_are_not() {
        let mut bytes = raw(2, "reboot", "~", "", 1, 0);
        bytes.extend(raw(USER, "li", "pts/0", "203.0.113.9", 1_700_000_000, 77));
        let mut local = raw(USER, "ann", "tty1", "", 5, 78);
        local[348..352].copy_from_slice(&[10, 0, 0, 7]);
        bytes.extend(local);
        bytes.extend([7; 100]);
        let logins = parse(&bytes);
        let shown: Vec<_> = logins
            .iter()
            .map(|l| (l.user.as_str(), l.terminal.as_str(), l.from.as_str(), l.since_s, l.pid))
            .collect();
        assert_eq!(
            shown,
            [("li", "pts/0", "203.0.113.9", 1_700_000_000, 77), ("ann", "tty1", "10.0.0.7", 5, 78)]
        );
    }

    #[test]
    fn sessions_of_the_login_manager_stand_in_where_no_list_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let sessions = dir.path().join("systemd/sessions");
        std::fs::create_dir_all(&sessions).unwrap();
        let text = "USER=li\nCLASS=user\nTTY=pts/9\nREMOTE_HOST=203.0.113.9\nLEADER=1\nREALTIME=1700000000000000\n";
        std::fs::write(sessions.join("4"), text).unwrap();
        std::fs::write(sessions.join("5"), "USER=gdm\nCLASS=greeter\n").unwrap();
        let mut config = Config::new("/nonexistent".into());
        config.run_root = dir.path().into();
        let found = read(&config);
        assert_eq!(found.rows.len(), 1);
        assert_eq!((found.rows[0].since_s, found.rows[0].pid), (1_700_000_000, 1));
        std::fs::remove_dir_all(&sessions).unwrap();
        assert_eq!(read(&config).notes.len(), 1);
    }

    proptest! {
        #[test]
        fn any_entries_are_read_or_left_out(bytes in proptest::collection::vec(any::<u8>(), 0..900), text in ".{0,200}") {
            let _ = (parse(&bytes), session(&text));
        }
    }
}
