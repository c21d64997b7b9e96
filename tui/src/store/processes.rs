//! Process tables of the hosts that were looked at. The processes pane reads them.

use super::{Store, Stored};
use cmdr_protocol::HostId;
use cmdr_protocol::display::clean;
use cmdr_protocol::processes::{Change, Process, Watch};
use std::collections::HashMap;

/// The process table of one host.
#[derive(Default)]
pub struct Processes {
    /// By pid; texts made harmless.
    pub rows: HashMap<u32, Process>,
    /// When the last item came.
    pub came_ms: u64,
    /// Goes up with every change.
    pub version: u64,
}

impl Processes {
    fn change(&mut self, now_ms: u64, change: Change) {
        if change.reset {
            self.rows.clear();
        }
        for pid in change.gone {
            self.rows.remove(&pid);
        }
        for mut process in change.put {
            let texts =
                [&mut process.user, &mut process.name, &mut process.command, &mut process.state];
            for text in texts {
                if let std::borrow::Cow::Owned(harmless) = clean(text) {
                    *text = harmless;
                }
            }
            self.rows.insert(process.pid, process);
        }
        self.set(change.cpu, |process, cpu| process.cpu = cpu);
        self.set(change.memory, |process, memory| process.memory = memory);
        self.set(change.read, |process, read| process.read = Some(read));
        self.set(change.written, |process, written| process.written = Some(written));
        self.set(change.threads, |process, threads| process.threads = threads);
        self.set(change.state, |process, state| process.state = clean(&state).into_owned());
        self.came_ms = now_ms;
        self.version += 1;
    }

    fn set<T>(&mut self, values: Vec<(u32, T)>, set: impl Fn(&mut Process, T)) {
        for (pid, value) in values {
            if let Some(process) = self.rows.get_mut(&pid) {
                set(process, value);
            }
        }
    }
}

impl Stored for Watch {
    fn apply(store: &mut Store, host: Option<HostId>, item: Change) {
        let Some(host) = host else { return };
        let now_ms = store.now_ms;
        // One table is large; only those of hosts looked at lately are worth their memory.
        if !store.processes.contains_key(&host) && store.processes.len() >= 4 {
            let oldest = store.processes.iter().min_by_key(|(_, p)| p.came_ms).map(|(id, _)| *id);
            oldest.and_then(|id| store.processes.remove(&id));
        }
        store.processes.entry(host).or_default().change(now_ms, item);
    }

    fn resumed(&self, store: &Store, _host: Option<HostId>) -> Self {
        Self { interval_ms: store.interval_ms(self.interval_ms) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_applied_in_the_order_of_its_fields() {
        let mut table = Processes::default();
        let process = |pid, name: &str| Process { pid, name: name.into(), ..Process::default() };
        let put = vec![process(1, "init"), process(2, "old\u{9b}")];
        table.change(0, Change { reset: true, put, ..Change::default() });
        let change = Change {
            gone: vec![2],
            put: vec![process(2, "new")],
            cpu: vec![(2, 500), (99, 1)],
            state: vec![(1, "S".into())],
            ..Change::default()
        };
        table.change(1, change);
        let new = Process { cpu: 500, ..process(2, "new") };
        assert_eq!(table.rows.get(&2), Some(&new));
        assert_eq!(table.rows.get(&1).map(|p| p.state.as_str()), Some("S"));
        assert_eq!(table.rows.len(), 2);
    }
}
