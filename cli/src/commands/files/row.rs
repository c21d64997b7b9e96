//! A file as data and as a line of a table.

use crate::human;
use crate::output::Column;
use cmdr_protocol::files::{Entry, FileKind, FilePath, letters, shown};
use serde::Serialize;

/// One file: the field names are a promise.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    host: String,
    /// As the host knows it; bytes that are no text stand as %xx.
    path: String,
    name: String,
    kind: FileKind,
    size: u64,
    /// Octal.
    mode: String,
    user: String,
    group: String,
    uid: u32,
    gid: u32,
    modified: String,
    modified_ns: i64,
    inode: u64,
    target: Option<String>,
}

impl Row {
    pub(super) fn new(host: &str, path: &FilePath, entry: Entry) -> Self {
        let ms = u64::try_from(entry.mtime_ns / 1_000_000).unwrap_or(0);
        Self {
            host: host.to_owned(),
            path: path.as_str().to_owned(),
            kind: entry.kind,
            size: entry.size,
            mode: format!("{:04o}", entry.mode),
            user: entry.user,
            group: entry.group,
            uid: entry.uid,
            gid: entry.gid,
            modified: human::moment(ms),
            modified_ns: entry.mtime_ns,
            inode: entry.inode,
            target: Some(entry.target).filter(|target| !target.is_empty()),
            name: entry.name,
        }
    }

    pub(super) fn name(&self) -> String {
        self.path.clone()
    }

    fn shown(&self) -> String {
        let name = shown(&self.name);
        match &self.target {
            Some(target) => format!("{name} → {}", shown(target)),
            None if self.kind == FileKind::Folder && self.name != "/" => format!("{name}/"),
            None => name,
        }
    }
}

pub(super) fn short(many: bool) -> Vec<Column<Row>> {
    let mut columns = Vec::new();
    if many {
        columns.push(Column::text("HOST", |r: &Row| r.host.clone().into()));
    }
    columns.push(Column::text("NAME", |r: &Row| r.shown().into()));
    columns
}

pub(super) fn long(many: bool) -> Vec<Column<Row>> {
    let mut columns = Vec::new();
    if many {
        columns.push(Column::text("HOST", |r: &Row| r.host.clone().into()));
    }
    columns.extend([
        Column::text("MODE", |r: &Row| {
            let mode = u32::from_str_radix(&r.mode, 8).unwrap_or(0);
            letters(r.kind, mode).into()
        }),
        Column::text("USER", |r| r.user.as_str().into()),
        Column::text("GROUP", |r| r.group.as_str().into()),
        Column::figure("SIZE", |r| human::bytes(r.size).into()),
        Column::text("MODIFIED", |r| r.modified.as_str().into()),
        Column::text("NAME", |r| r.shown().into()),
    ]);
    columns
}
