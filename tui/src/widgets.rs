//! Things to draw with that know no feature.

pub mod bar;
pub mod chart;
pub mod filter;
pub mod format;
pub mod frame;
pub mod input;
pub mod natural;
pub mod plot;
pub mod table;
pub mod terminal;
