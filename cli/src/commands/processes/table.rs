//! Which processes are shown, in which order, and how: rows and columns of `ps`.

use crate::human;
use crate::output::{Cell, Column};
use clap::ValueEnum;
use cmdr_link::clock;
use cmdr_protocol::processes::Process;
use regex::Regex;
use serde::Serialize;
use std::collections::{HashMap, HashSet};

/// What comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Sort {
    #[default]
    Cpu,
    Mem,
    Pid,
    User,
    Start,
    Threads,
    Command,
}

/// What is asked for.
#[derive(Debug)]
pub(super) struct View {
    pub(super) filter: Option<Regex>,
    pub(super) tree: bool,
    pub(super) sort: Sort,
    pub(super) limit: Option<usize>,
    pub(super) many: bool,
}

/// One process as data: the field names are a promise.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Row {
    pub(super) host: String,
    pid: u32,
    ppid: u32,
    user: String,
    state: String,
    cpu_percent: f64,
    memory: u64,
    threads: u32,
    nice: i32,
    read_bps: Option<u64>,
    write_bps: Option<u64>,
    started: String,
    name: String,
    command: String,
    #[serde(skip)]
    age: String,
    #[serde(skip)]
    depth: usize,
}

impl Row {
    /// What `-o name` shows.
    pub(super) fn name(&self) -> String {
        self.pid.to_string()
    }

    fn new(host: &str, process: Process, depth: usize) -> Self {
        let age = human::ago(Some(process.started_s * 1000), clock::now_ms());
        Self {
            host: host.to_owned(),
            pid: process.pid,
            ppid: process.ppid,
            user: process.user,
            state: process.state,
            cpu_percent: f64::from(process.cpu) / 10.0,
            memory: process.memory,
            threads: process.threads,
            nice: process.nice,
            read_bps: process.read,
            write_bps: process.written,
            started: human::moment(process.started_s * 1000),
            name: process.name,
            command: process.command,
            age,
            depth,
        }
    }

    fn shown(&self) -> String {
        let indent = "  ".repeat(self.depth);
        match self.command.as_str() {
            // Kernel threads have no command line.
            "" => format!("{indent}[{}]", self.name),
            command => format!("{indent}{command}"),
        }
    }
}

impl View {
    fn wants(&self, process: &Process) -> bool {
        self.filter.as_ref().is_none_or(|filter| {
            filter.is_match(&process.command)
                || filter.is_match(&process.name)
                || filter.is_match(&process.user)
                || filter.is_match(&process.pid.to_string())
        })
    }

    /// The rows of one host.
    pub(super) fn rows(&self, host: &str, mut all: Vec<Process>) -> Vec<Row> {
        let limit = self.limit.unwrap_or(usize::MAX);
        if self.tree {
            all.retain(|p| p.pid != 0);
            let order = tree(&all, |p| self.wants(p));
            return order
                .into_iter()
                .take(limit)
                .map(|(at, depth)| Row::new(host, all[at].clone(), depth))
                .collect();
        }
        all.retain(|p| self.wants(p));
        all.sort_by(|a, b| {
            let by = match self.sort {
                Sort::Cpu => b.cpu.cmp(&a.cpu),
                Sort::Mem => b.memory.cmp(&a.memory),
                Sort::Pid => std::cmp::Ordering::Equal,
                Sort::User => a.user.cmp(&b.user),
                Sort::Start => b.start.cmp(&a.start),
                Sort::Threads => b.threads.cmp(&a.threads),
                Sort::Command => a.command.cmp(&b.command),
            };
            by.then(a.pid.cmp(&b.pid))
        });
        all.into_iter().take(limit).map(|p| Row::new(host, p, 0)).collect()
    }

    /// The columns.
    pub(super) fn columns(&self) -> Vec<Column<Row>> {
        let mut columns = Vec::new();
        if self.many {
            columns.push(Column::text("HOST", |r: &Row| r.host.as_str().into()));
        }
        columns.extend([
            Column::figure("PID", |r: &Row| r.pid.to_string().into()),
            Column::figure("PPID", |r: &Row| r.ppid.to_string().into()).wide(),
            Column::text("USER", |r: &Row| r.user.as_str().into()),
            Column::text("S", |r: &Row| r.state.as_str().into()),
            Column::figure("CPU", |r: &Row| format!("{:.1}%", r.cpu_percent).into()),
            Column::figure("MEM", |r: &Row| human::bytes(r.memory).into()),
            Column::figure("THR", |r: &Row| r.threads.to_string().into()),
            Column::figure("NI", |r: &Row| r.nice.to_string().into()).wide(),
            Column::figure("READ/S", |r: &Row| bytes(r.read_bps)).wide(),
            Column::figure("WRITE/S", |r: &Row| bytes(r.write_bps)).wide(),
            Column::figure("AGE", |r: &Row| r.age.as_str().into()),
            Column::text("COMMAND", |r: &Row| r.shown().into()),
        ]);
        columns
    }
}

fn bytes(n: Option<u64>) -> Cell {
    n.map(|n| human::bytes(n).into()).unwrap_or_default()
}

/// Parents before their children, with the depth of each; parents of wanted ones are kept. Made for
/// any input: a parent that is missing, or that is its own descendant, ends a branch.
fn tree(all: &[Process], wants: impl Fn(&Process) -> bool) -> Vec<(usize, usize)> {
    let place: HashMap<u32, usize> = all.iter().enumerate().map(|(at, p)| (p.pid, at)).collect();
    let mut kept = HashSet::new();
    for (at, process) in all.iter().enumerate() {
        if !wants(process) {
            continue;
        }
        let mut at = at;
        while kept.insert(at) {
            match place.get(&all[at].ppid) {
                Some(parent) => at = *parent,
                None => break,
            }
        }
    }
    let mut children: HashMap<u32, Vec<usize>> = HashMap::new();
    let mut roots = Vec::new();
    for (at, process) in all.iter().enumerate().filter(|(at, _)| kept.contains(at)) {
        if process.ppid != process.pid && place.contains_key(&process.ppid) {
            children.entry(process.ppid).or_default().push(at);
        } else {
            roots.push(at);
        }
    }
    let by_pid = |list: &mut Vec<usize>| list.sort_by_key(|at| std::cmp::Reverse(all[*at].pid));
    by_pid(&mut roots);
    children.values_mut().for_each(by_pid);
    let mut order = Vec::with_capacity(kept.len());
    let mut seen = HashSet::new();
    let mut open: Vec<(usize, usize)> = roots.into_iter().map(|at| (at, 0)).collect();
    // Members of a circle hang below no root; they come last.
    let rest: Vec<usize> = kept.iter().copied().collect();
    let mut rest = rest.into_iter();
    loop {
        while let Some((at, depth)) = open.pop() {
            if !seen.insert(at) {
                continue;
            }
            order.push((at, depth));
            if let Some(list) = children.get(&all[at].pid) {
                open.extend(list.iter().map(|child| (*child, depth + 1)));
            }
        }
        match rest.find(|at| !seen.contains(at)) {
            Some(at) => open.push((at, 0)),
            None => return order,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn process(pid: u32, ppid: u32, command: &str) -> Process {
        Process { pid, ppid, command: command.into(), cpu: pid * 10, ..Process::default() }
    }

    fn view(filter: Option<&str>, tree: bool) -> View {
        let filter = filter.map(|f| Regex::new(f).unwrap());
        View { filter, tree, sort: Sort::Cpu, limit: None, many: false }
    }

    fn check(view: &View, expected: &[&str]) {
        let all = vec![
            process(1, 0, "init"),
            process(7, 1, "sh"),
            process(3, 7, "vi"),
            process(9, 1, "cron"),
        ];
        let shown: Vec<_> = view.rows("web1", all).iter().map(Row::shown).collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn rows_are_sorted_filtered_and_limited() {
        check(&view(None, false), &["cron", "sh", "vi", "init"]);
        check(&view(Some("^(vi|sh)$"), false), &["sh", "vi"]);
        check(&View { limit: Some(1), ..view(None, false) }, &["cron"]);
        check(&View { sort: Sort::Pid, ..view(None, false) }, &["init", "vi", "sh", "cron"]);
    }

    #[test]
    fn a_tree_keeps_the_parents_of_what_matches() {
        check(&view(None, true), &["init", "  sh", "    vi", "  cron"]);
        check(&view(Some("vi"), true), &["init", "  sh", "    vi"]);
    }

    #[test]
    fn the_host_column_is_there_only_for_several_hosts() {
        assert_eq!(
            view(None, false).columns().len() + 1,
            View { many: true, ..view(None, false) }.columns().len()
        );
    }

    proptest! {
        #[test]
        fn a_tree_has_every_process_once_whatever_the_parents(
            parents in prop::collection::vec(0..12u32, 0..12)
        ) {
            let all: Vec<_> =
                parents.iter().enumerate().map(|(i, p)| process(i as u32 + 1, *p, "x")).collect();
            let mut order: Vec<_> = tree(&all, |_| true).into_iter().map(|(at, _)| at).collect();
            order.sort_unstable();
            prop_assert_eq!(order, (0..all.len()).collect::<Vec<_>>());
        }
    }
}
