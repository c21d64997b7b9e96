//! Sockets as rows: of one host as they are watched, or gathered from all hosts.

use super::sheets::{Record, SheetKey, Target, Value, id_of};
use super::{Store, Stored};
use crate::theme::Role;
use cmdr_protocol::HostId;
use cmdr_protocol::display::clean;
use cmdr_protocol::ports::{Change, Protocol, Socket, State, Summary, Watch};
use cmdr_protocol::table::Row as _;

/// The sheet of a host's listening sockets.
pub fn listening(host: HostId) -> SheetKey {
    (Some(host), "ports")
}

/// The sheet of all of a host's sockets.
pub fn connections(host: HostId) -> SheetKey {
    (Some(host), "connections")
}

/// A socket as a row.
pub fn record(host: HostId, socket: &Socket) -> Record {
    let state = match socket.state {
        State::Listen => Role::Ok,
        State::CloseWait => Role::Warn,
        State::Established => Role::Text,
        _ => Role::Soft,
    };
    let queue = |n: u32| Value::count(u64::from(n));
    let own = match socket.protocol {
        // Those without a port come after those with one.
        Protocol::Unix => Value::Figure(u64::from(u16::MAX) + 1, String::new(), Role::Faint),
        _ => Value::Figure(u64::from(socket.port), socket.port.to_string(), Role::Strong),
    };
    let program = if socket.pid == 0 {
        Value::Word("ports.nobody", Role::Faint)
    } else {
        Value::text(&socket.program, Role::Strong)
    };
    let target = if socket.pid == 0 {
        Target::None
    } else {
        let [name, user, command] =
            [&socket.program, &socket.user, &socket.command].map(|text| clean(text).into_owned());
        Target::Process { pid: socket.pid, start: socket.start, name, user, command }
    };
    Record {
        id: id_of(&(host, socket.key())),
        host,
        values: vec![
            own,
            Value::text(socket.protocol.as_str(), Role::Soft),
            Value::text(socket.state.as_str(), state),
            Value::text(&socket.local, Role::Text),
            Value::soft(&socket.there()),
            queue(socket.received),
            queue(socket.sending),
            Value::text(&socket.user, Role::Text),
            match socket.pid {
                0 => Value::Figure(0, String::new(), Role::Faint),
                pid => Value::Figure(u64::from(pid), pid.to_string(), Role::Soft),
            },
            program,
        ],
        more: vec![
            ("ports.detail.command", clean(&socket.command).into_owned()),
            ("ports.detail.holders", socket.holders.to_string()),
        ],
        target,
    }
}

/// What is said above a table.
pub fn notes(summary: &Summary) -> Vec<(String, Role)> {
    let one = |n: u32, word: &str, role| (n > 0).then(|| (format!("{n} {word}"), role));
    [
        one(summary.established, "established", Role::Text),
        one(summary.time_wait, "time-wait", Role::Soft),
        one(summary.close_wait, "close-wait", Role::Warn),
        one(summary.udp_connected, "udp", Role::Soft),
    ]
    .into_iter()
    .flatten()
    .collect()
}

impl Stored for Watch {
    fn apply(store: &mut Store, host: Option<HostId>, item: Change) {
        let Some(host) = host else { return };
        let now_ms = store.now_ms;
        let sheet = store.sheet_mut(listening(host));
        if item.table.reset {
            sheet.rows.clear();
        }
        for key in item.table.gone {
            sheet.rows.remove(&id_of(&(host, key)));
        }
        for socket in &item.table.put {
            let record = record(host, socket);
            sheet.rows.insert(record.id, record);
        }
        if let Some(summary) = item.summary {
            sheet.notes = notes(&summary);
            sheet.total = summary.hidden as usize;
        }
        sheet.came(now_ms);
    }

    fn resumed(&self, store: &Store, _host: Option<HostId>) -> Self {
        Self { interval_ms: store.interval_ms(self.interval_ms) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::table;

    #[test]
    fn a_change_puts_and_takes_rows_and_hostile_names_are_harmless() {
        let mut store = Store::new(0, 0, false);
        let host = HostId([1; 16]);
        let socket = |inode, program: &str| Socket {
            inode,
            pid: 7,
            program: program.into(),
            state: State::Listen,
            ..Socket::default()
        };
        let put = vec![socket(1, "evil\u{1b}[2J"), socket(2, "sshd")];
        let table = table::Change { reset: true, put, ..Default::default() };
        Watch::apply(&mut store, Some(host), Change { table, summary: None });
        let gone = vec![socket(2, "").key()];
        let table = table::Change { gone, ..Default::default() };
        Watch::apply(&mut store, Some(host), Change { table, summary: None });
        let sheet = store.sheet(listening(host)).expect("known");
        let rows: Vec<_> = sheet.rows.values().collect();
        assert_eq!(rows.len(), 1);
        assert!(rows[0].values.iter().all(|v| !v.plain().contains('\u{1b}')));
    }
}
