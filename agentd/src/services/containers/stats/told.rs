//! Figures of a container as the engine tells them, for hosts whose files the agent cannot read.

use super::Taken;
use crate::engine::Engine;
use bollard::models::ContainerStatsResponse;
use bollard::query_parameters::StatsOptions;
use futures::StreamExt as _;

/// Asks once.
pub(super) async fn ask(engine: &Engine, id: &str) -> Option<Taken> {
    let mut answer =
        std::pin::pin!(engine.stats(id, Some(StatsOptions { stream: false, one_shot: true })));
    Some(taken(&answer.next().await?.ok()?))
}

fn taken(told: &ContainerStatsResponse) -> Taken {
    let mut taken = Taken::default();
    if let Some(usage) = told.cpu_stats.as_ref().and_then(|cpu| cpu.cpu_usage.as_ref()) {
        taken.cpu_ns = usage.total_usage.unwrap_or_default();
    }
    if let Some(memory) = &told.memory_stats {
        let of = |name: &str| memory.stats.as_ref().and_then(|stats| stats.get(name).copied());
        let cached = of("total_inactive_file").or_else(|| of("inactive_file")).unwrap_or_default();
        taken.memory = memory.usage.unwrap_or_default().saturating_sub(cached);
        taken.limit = memory.limit.unwrap_or_default();
    }
    for network in told.networks.iter().flatten().map(|(_, network)| network) {
        taken.received += network.rx_bytes.unwrap_or_default();
        taken.sent += network.tx_bytes.unwrap_or_default();
    }
    let blocks = told.blkio_stats.as_ref().and_then(|io| io.io_service_bytes_recursive.as_ref());
    for entry in blocks.into_iter().flatten() {
        let value = entry.value.unwrap_or_default();
        match entry.op.as_deref().unwrap_or_default() {
            op if op.eq_ignore_ascii_case("read") => taken.read += value,
            op if op.eq_ignore_ascii_case("write") => taken.written += value,
            _ => {}
        }
    }
    taken.pids = told.pids_stats.as_ref().and_then(|pids| pids.current).unwrap_or_default();
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn figures_are_what_the_engine_says_of_them() {
        let told = json!({
            "cpu_stats": {"cpu_usage": {"total_usage": 7}},
            "memory_stats": {"usage": 100, "limit": 1000, "stats": {"inactive_file": 40}},
            "networks": {"eth0": {"rx_bytes": 1, "tx_bytes": 2}, "eth1": {"rx_bytes": 3}},
            "blkio_stats": {"io_service_bytes_recursive": [
                {"op": "Read", "value": 5}, {"op": "write", "value": 6}, {"op": "Total", "value": 11}]},
            "pids_stats": {"current": 4},
        });
        let expected = Taken {
            cpu_ns: 7,
            memory: 60,
            limit: 1000,
            received: 4,
            sent: 2,
            read: 5,
            written: 6,
            pids: 4,
        };
        assert_eq!(taken(&serde_json::from_value(told).unwrap()), expected);
        assert_eq!(taken(&ContainerStatsResponse::default()), Taken::default());
    }
}
