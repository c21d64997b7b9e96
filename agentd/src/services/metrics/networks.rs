//! Traffic of network interfaces.

use super::linux::rate;
use crate::text::{Kept, fields, lines, lossy, number};
use cmdr_protocol::metrics::Network;
use std::path::Path;
use std::time::Duration;

/// More than this are not shown; hosts with more use them for containers.
const MOST: usize = 64;

/// Counters of interfaces.
#[derive(Debug)]
pub(super) struct Networks {
    dev: Option<Kept>,
    known: Vec<Interface>,
}

#[derive(Debug, PartialEq, Eq)]
struct Interface {
    name: Vec<u8>,
    received: u64,
    sent: u64,
    errors: u64,
}

impl Networks {
    pub(super) fn new(proc_root: &Path) -> Self {
        Self { dev: Kept::open(&proc_root.join("net/dev")), known: Vec::new() }
    }

    pub(super) fn sample(
        &mut self,
        buffer: &mut Vec<u8>,
        elapsed: Option<Duration>,
    ) -> Vec<Network> {
        let Some(Ok(text)) = self.dev.as_ref().map(|kept| kept.read(buffer)) else {
            return Vec::new();
        };
        let mut shown = Vec::new();
        let mut place = 0;
        for now in lines(text).filter_map(parse).take(MOST) {
            // As with disks: the order holds unless one comes or goes.
            if self.known.get(place).is_none_or(|before| before.name != now.name) {
                let rest = self.known[place..].iter();
                let found = rest.enumerate().find(|(_, before)| before.name == now.name);
                let before = match found.map(|(at, _)| place + at) {
                    Some(at) => self.known.remove(at),
                    None => now.to_owned(),
                };
                self.known.insert(place, before);
            }
            let before = &mut self.known[place];
            place += 1;
            shown.push(Network {
                name: lossy(now.name),
                received: rate(before.received, now.received, elapsed),
                sent: rate(before.sent, now.sent, elapsed),
                errors: rate(before.errors, now.errors, elapsed),
            });
            (before.received, before.sent, before.errors) = (now.received, now.sent, now.errors);
        }
        self.known.truncate(place);
        shown
    }
}

/// One line, its name not copied.
struct Line<'t> {
    name: &'t [u8],
    received: u64,
    sent: u64,
    errors: u64,
}

impl Line<'_> {
    fn to_owned(&self) -> Interface {
        let Self { name, received, sent, errors } = *self;
        Interface { name: name.to_vec(), received, sent, errors }
    }
}

/// An interface other than loopback and the near ends of containers, that has carried something.
fn parse(line: &[u8]) -> Option<Line<'_>> {
    let colon = line.iter().rposition(|b| *b == b':')?;
    let name = line[..colon].trim_ascii();
    if name == b"lo" || name.starts_with(b"veth") {
        return None;
    }
    let mut values = fields(&line[colon + 1..]).map(|f| number(f).unwrap_or(0));
    let all: [u64; 12] = std::array::from_fn(|_| values.next().unwrap_or(0));
    let (received, sent) = (all[0], all[8]);
    let errors = [all[2], all[3], all[10], all[11]];
    let errors = errors.iter().fold(0u64, |sum, n| sum.saturating_add(*n));
    (received > 0 || sent > 0).then_some(Line { name, received, sent, errors })
}
