//! A process table, and what changed since another one.

use crate::items::Items;
use crate::sifted::Sifted;
use cmdr_protocol::CallError;
use cmdr_protocol::processes::{Change, Listing, Process};
use std::sync::Arc;

/// A reply must stay under the largest frame.
const REPLY: usize = 900 * 1024;

/// All processes at one moment, by pid.
#[derive(Debug, Default)]
pub struct Table {
    pub(super) rows: Vec<Row>,
}

/// One process.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) pid: u32,
    pub(super) ppid: u32,
    pub(super) start: u64,
    pub(super) state: u8,
    pub(super) threads: u32,
    pub(super) nice: i32,
    pub(super) cpu: u32,
    pub(super) memory: u64,
    pub(super) io: Option<[u64; 2]>,
    pub(super) about: Arc<About>,
}

/// What seldom changes; shared from table to table.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct About {
    pub(super) user: Arc<str>,
    pub(super) name: String,
    pub(super) command: String,
    pub(super) started_s: u64,
}

impl Row {
    fn state(&self) -> String {
        char::from(self.state).to_string()
    }

    fn process(&self) -> Process {
        Process {
            pid: self.pid,
            ppid: self.ppid,
            start: self.start,
            started_s: self.about.started_s,
            user: self.about.user.to_string(),
            name: self.about.name.clone(),
            command: self.about.command.clone(),
            state: self.state(),
            threads: self.threads,
            nice: self.nice,
            cpu: self.cpu,
            memory: self.memory,
            read: self.io.map(|[read, _]| read),
            written: self.io.map(|[_, written]| written),
        }
    }

    fn weight(&self) -> usize {
        100 + self.about.user.len() + self.about.name.len() + self.about.command.len()
    }

    /// Whether it is wanted, by what a table shows of it.
    fn fits(&self, sifted: &Sifted) -> bool {
        let About { user, name, command, .. } = &*self.about;
        sifted.is_empty() || sifted.keeps(&[&self.pid.to_string(), user, name, command])
    }

    /// Whether a row needs no more than new figures to become `now`.
    fn is_like(&self, now: &Self) -> bool {
        let about = Arc::ptr_eq(&self.about, &now.about) || self.about == now.about;
        about
            && (self.start, self.ppid, self.nice) == (now.start, now.ppid, now.nice)
            && self.io.is_some() == now.io.is_some()
    }
}

impl Table {
    /// Those that are wanted: so many, those first that use most processor time, then most memory; of 0
    /// all of them, by pid.
    pub(super) fn picked(&self, count: usize, sifted: &Sifted) -> Result<Listing, CallError> {
        let mut rows: Vec<Row> = self.rows.iter().filter(|row| row.fits(sifted)).cloned().collect();
        let fit = rows.len();
        if count > 0 {
            rows.sort_by_key(|row| std::cmp::Reverse((row.cpu, row.memory)));
            rows.truncate(count);
        }
        let left_out = (fit - rows.len()) as u64;
        Ok(Listing { left_out, sifted: true, ..Self { rows }.listing()? })
    }

    /// The whole table in one reply. Where it would be too large, command lines are cut.
    pub(super) fn listing(&self) -> Result<Listing, CallError> {
        let weight: usize = self.rows.iter().map(Row::weight).sum();
        let mut processes: Vec<Process> = self.rows.iter().map(Row::process).collect();
        if weight > REPLY {
            let each = (REPLY / self.rows.len()).saturating_sub(170);
            if each < 16 {
                return Err(CallError::failed(format!(
                    "{} processes are too many for one reply; watch them instead",
                    self.rows.len()
                )));
            }
            for process in &mut processes {
                process.command.truncate(process.command.floor_char_boundary(each));
            }
        }
        Ok(Listing { processes, ..Listing::default() })
    }

    /// Items that turn `before` into this table; with none before, the table anew.
    pub(super) fn changes_since(&self, before: Option<&Self>) -> Vec<Change> {
        let mut items = Items::<Change>::default();
        items.room(0, 0).reset = before.is_none();
        let old = before.map_or(&[][..], |table| &table.rows);
        let find = |rows: &[Row], pid| rows.binary_search_by_key(&pid, |row| row.pid).ok();
        for row in old {
            if find(&self.rows, row.pid).is_none() {
                items.room(0, 8).gone.push(row.pid);
            }
        }
        // Both are by pid, so the place in one is near the place in the other.
        for row in &self.rows {
            if find(old, row.pid).is_none_or(|at| !old[at].is_like(row)) {
                items.room(1, row.weight()).put.push(row.process());
            }
        }
        for row in &self.rows {
            let Some(was) = find(old, row.pid).map(|at| &old[at]).filter(|was| was.is_like(row))
            else {
                continue;
            };
            if was.cpu != row.cpu {
                items.room(0, 8).cpu.push((row.pid, row.cpu));
            }
            if was.memory != row.memory {
                items.room(0, 12).memory.push((row.pid, row.memory));
            }
            if let (Some([was_read, was_written]), Some([read, written])) = (was.io, row.io) {
                if was_read != read {
                    items.room(0, 12).read.push((row.pid, read));
                }
                if was_written != written {
                    items.room(0, 12).written.push((row.pid, written));
                }
            }
            if was.threads != row.threads {
                items.room(0, 8).threads.push((row.pid, row.threads));
            }
            if was.state != row.state {
                items.room(0, 8).state.push((row.pid, row.state()));
            }
        }
        items.finish(before.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn row(pid: u32, start: u64, cpu: u32) -> Row {
        let about = About {
            user: "root".into(),
            name: format!("p{pid}"),
            command: "x".repeat(cpu as usize % 7),
            started_s: start,
        };
        let io = (!pid.is_multiple_of(3)).then_some([u64::from(cpu % 5), 0]);
        let state = if cpu.is_multiple_of(2) { b'S' } else { b'R' };
        let memory = u64::from(cpu) << 16;
        Row {
            pid,
            ppid: 1,
            start,
            state,
            threads: 1 + cpu % 3,
            nice: 0,
            cpu,
            memory,
            io,
            about: Arc::new(about),
        }
    }

    fn table(rows: BTreeMap<u32, (u64, u32)>) -> Table {
        Table { rows: rows.into_iter().map(|(pid, (start, cpu))| row(pid, start, cpu)).collect() }
    }

    /// What a client does with an item.
    fn apply(held: &mut BTreeMap<u32, Process>, change: Change) {
        if change.reset {
            held.clear();
        }
        change.gone.iter().for_each(|pid| drop(held.remove(pid)));
        held.extend(change.put.into_iter().map(|p| (p.pid, p)));
        change.cpu.iter().for_each(|(pid, v)| held.get_mut(pid).unwrap().cpu = *v);
        change.memory.iter().for_each(|(pid, v)| held.get_mut(pid).unwrap().memory = *v);
        change.read.iter().for_each(|(pid, v)| held.get_mut(pid).unwrap().read = Some(*v));
        change.written.iter().for_each(|(pid, v)| held.get_mut(pid).unwrap().written = Some(*v));
        change.threads.iter().for_each(|(pid, v)| held.get_mut(pid).unwrap().threads = *v);
        change.state.into_iter().for_each(|(pid, v)| held.get_mut(&pid).unwrap().state = v);
    }

    #[test]
    fn a_table_that_did_not_change_sends_nothing() {
        let table = table((1..50).map(|pid| (pid, (7, 3))).collect());
        assert!(table.changes_since(Some(&table)).is_empty());
    }

    #[test]
    fn a_large_table_comes_in_pieces_and_only_the_first_resets() {
        let table = table((1..1800).map(|pid| (pid, (7, 3))).collect());
        let items = table.changes_since(None);
        let shape: Vec<_> = items.iter().map(|item| (item.reset, item.put.len())).collect();
        assert_eq!(shape, [(true, 500), (false, 500), (false, 500), (false, 299)]);
    }

    #[test]
    fn the_busiest_are_told_alone_and_first() {
        let table = table([(1, (7, 3)), (2, (7, 9)), (3, (7, 5))].into());
        let picked = table.picked(2, &Sifted::default()).unwrap();
        assert_eq!(picked.processes.iter().map(|p| p.pid).collect::<Vec<_>>(), [2, 3]);
        assert_eq!((picked.left_out, picked.sifted), (1, true));
    }

    #[test]
    fn an_idle_process_among_busy_ones_is_found_by_its_name_user_or_number() {
        use cmdr_protocol::sift::Sift;
        let mut table = table((1..500).map(|pid| (pid, (7, 100 + pid))).collect());
        let about = About {
            user: "svc".into(),
            name: "idler".into(),
            command: "/opt/Idler --sleep".into(),
            started_s: 0,
        };
        table.rows.insert(0, Row { cpu: 0, memory: 0, about: Arc::new(about), ..row(0, 7, 0) });
        for pattern in ["(?i)idler --s", "^web1 0 svc", "web1.*idler"] {
            let sift = Sift { fits: vec![pattern.into()], before: "web1".into(), not: Vec::new() };
            let picked = table.picked(20, &Sifted::new(&sift).unwrap()).unwrap();
            assert_eq!(picked.processes.len(), 1, "{pattern}");
            assert_eq!((picked.processes[0].name.as_str(), picked.left_out), ("idler", 0));
        }
        let sift = Sift { fits: vec!["root".into()], ..Sift::default() };
        let picked = table.picked(20, &Sifted::new(&sift).unwrap()).unwrap();
        assert_eq!((picked.processes.len(), picked.left_out), (20, 479));
    }

    #[test]
    fn an_empty_table_still_begins_with_a_reset() {
        assert_eq!(
            Table::default().changes_since(None),
            [Change { reset: true, ..Change::default() }]
        );
    }

    #[test]
    fn a_listing_too_large_for_one_reply_has_its_commands_cut() {
        let mut table = table((1..3000).map(|pid| (pid, (7, 3))).collect());
        let about =
            About { user: "u".into(), name: "n".into(), command: "é".repeat(2000), started_s: 0 };
        let about = Arc::new(about);
        table.rows.iter_mut().for_each(|row| row.about = about.clone());
        let listing = table.listing().unwrap();
        let bytes = cmdr_link::codec::encode(&listing).unwrap();
        assert!(bytes.len() < cmdr_link::frame::MAX_FRAME, "{}", bytes.len());
        assert_eq!(cmdr_link::codec::decode::<Listing>(&bytes).unwrap().processes.len(), 2999);
    }

    proptest! {
        #[test]
        fn applying_the_changes_gives_the_new_table(
            before in proptest::collection::btree_map(1u32..40, (0u64..3, 0u32..9), 0..30),
            now in proptest::collection::btree_map(1u32..40, (0u64..3, 0u32..9), 0..30),
        ) {
            let (before, now) = (table(before), table(now));
            let mut held = BTreeMap::new();
            before.changes_since(None).into_iter().for_each(|change| apply(&mut held, change));
            now.changes_since(Some(&before)).into_iter().for_each(|change| apply(&mut held, change));
            let held: Vec<_> = held.into_values().collect();
            prop_assert_eq!(held, now.listing().unwrap().processes);
        }
    }
}
