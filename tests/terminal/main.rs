//! The real programs as processes, some of them on a real terminal. One file a story.

mod hub_faults;
mod hub_killed;
