//! The columns of the table of containers, in the order of the cells of their rows.

use crate::panes::sheet::{column, figure, rest};
use crate::widgets::table::Column;

/// The host stands first, and is left out where there is only one.
pub(super) const COLUMNS: &[Column] = &[
    Column { most: 24, ..rest("fleet.col.host", 12, 0) },
    Column { most: 32, ..rest("containers.col.name", 16, 0) },
    column("containers.col.state", 11, 0),
    figure("containers.col.cpu", 7, 1),
    figure("containers.col.memory", 10, 1),
    figure("containers.col.network", 11, 5),
    figure("containers.col.block", 11, 6),
    Column { descending: true, most: 32, ..rest("containers.col.status", 20, 3) },
    Column { most: 40, ..rest("containers.col.image", 14, 2) },
    Column { most: 40, ..rest("containers.col.ports", 14, 4) },
    Column { most: 20, ..column("containers.col.project", 12, 7) },
];
