//! Hub, agents and clients in one process, over real links on free ports. One file a feature.

mod admission;
mod link;
mod untrusted;
