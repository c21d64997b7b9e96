//! What else there is on a host as rows: mounts, interfaces, logins, packages, jobs, environment.

use super::sheets::{Record, Target, Value, id_of};
use crate::theme::Role;
use crate::widgets::format;
use cmdr_protocol::HostId;
use cmdr_protocol::display::clean;
use cmdr_protocol::environment::Variable;
use cmdr_protocol::system::{Interface, Job, Login, Mount, Package};

/// Something with rows of its own.
pub trait Row {
    /// As a row; `at` is where it stood in the answer.
    fn record(&self, host: HostId, at: usize) -> Record;
}

fn of(host: HostId, id: u64, values: Vec<Value>) -> Record {
    Record { id, host, values, more: Vec::new(), target: Target::None }
}

fn share(part: u64, all: u64) -> Value {
    if all == 0 {
        return Value::Figure(0, "-".to_owned(), Role::Faint);
    }
    let permille = format::permille(part, all);
    let role = match permille {
        950.. => Role::Bad,
        850.. => Role::Warn,
        _ => Role::Text,
    };
    Value::Figure(u64::from(permille), format::percent(permille), role)
}

impl Row for Mount {
    fn record(&self, host: HostId, at: usize) -> Record {
        let used = self.total.zip(self.free).map(|(total, free)| total.saturating_sub(free));
        let mode = if self.read_only { ("ro", Role::Warn) } else { ("rw", Role::Soft) };
        let values = vec![
            Value::text(&self.mount, Role::Strong),
            Value::text(&self.device, Role::Text),
            Value::soft(&self.kind),
            Value::bytes(self.total),
            Value::bytes(used),
            share(used.unwrap_or(0), self.total.unwrap_or(0)),
            share(self.inodes.saturating_sub(self.inodes_free), self.inodes),
            Value::text(mode.0, mode.1),
            Value::soft(&self.options),
        ];
        of(host, id_of(&(host, &self.mount, at)), values)
    }
}

impl Row for Interface {
    fn record(&self, host: HostId, _: usize) -> Record {
        let state = if self.state == "up" { Role::Ok } else { Role::Soft };
        let trouble =
            |n: u64| Value::Figure(n, n.to_string(), if n == 0 { Role::Faint } else { Role::Warn });
        let speed = self.speed.map_or_else(
            || Value::Figure(0, "-".to_owned(), Role::Faint),
            |n| Value::Figure(n, n.to_string(), Role::Text),
        );
        let values = vec![
            Value::text(&self.name, Role::Strong),
            Value::text(&self.state, state),
            Value::text(&self.addresses.join(" "), Role::Text),
            speed,
            Value::count(self.mtu),
            Value::bytes(Some(self.received)),
            Value::bytes(Some(self.sent)),
            trouble(self.errors),
            trouble(self.drops),
            Value::soft(&self.mac),
        ];
        of(host, id_of(&(host, &self.name)), values)
    }
}

impl Row for Login {
    fn record(&self, host: HostId, at: usize) -> Record {
        let idle = self.idle_s.map_or_else(
            || Value::Figure(0, "-".to_owned(), Role::Faint),
            |s| Value::Figure(s, format::age(s), Role::Text),
        );
        let values = vec![
            Value::text(&self.user, Role::Strong),
            Value::text(&self.terminal, Role::Text),
            Value::text(&self.from, Role::Text),
            Value::Moment(self.since_s),
            idle,
        ];
        of(host, id_of(&(host, &self.user, &self.terminal, at)), values)
    }
}

impl Row for Package {
    fn record(&self, host: HostId, _: usize) -> Record {
        let values = vec![
            Value::text(&self.name, Role::Strong),
            Value::text(&self.version, Role::Text),
            Value::text(&self.newer, Role::Warn),
            Value::soft(&self.arch),
            Value::soft(&self.summary),
        ];
        of(host, id_of(&(host, &self.name, &self.arch)), values)
    }
}

impl Row for Job {
    fn record(&self, host: HostId, at: usize) -> Record {
        let values = vec![
            Value::text(&self.when, Role::Strong),
            Value::soft(&self.kind),
            Value::text(&self.user, Role::Text),
            Value::Moment(self.next_s.unwrap_or(0)),
            Value::Moment(self.last_s.unwrap_or(0)),
            Value::text(&self.command, Role::Text),
        ];
        let more = vec![("system.detail.source", clean(&self.source).into_owned())];
        Record { more, ..of(host, id_of(&(host, &self.source, &self.command, at)), values) }
    }
}

impl Row for Variable {
    fn record(&self, host: HostId, at: usize) -> Record {
        let value = match (self.masked, self.name.is_empty()) {
            (true, _) => Value::Word("system.masked", Role::Faint),
            (false, true) => Value::Word("system.a_file", Role::Faint),
            (false, false) => Value::text(&self.value, Role::Text),
        };
        let values = vec![Value::text(&self.name, Role::Strong), value, Value::soft(&self.source)];
        of(host, id_of(&(host, &self.name, &self.source, at)), values)
    }
}
