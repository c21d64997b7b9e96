//! A program's requests to the hub in this same process: through the router, as if over a link.

use super::bearer::Program;
use super::problem::Problem;
use crate::router;
use cmdr_link::FeedStream;
use cmdr_link::client::{call_over, feed_over};
use cmdr_link::mux::Stream;
use cmdr_protocol::{Call, Feed};
use std::time::Duration;

/// How long an answer of the hub's own may take.
const PATIENCE: Duration = Duration::from_secs(30);

impl Program {
    /// A stream that the router serves for this program.
    fn open(&self) -> Stream {
        let [ours, theirs] = Stream::pair();
        let (hub, service) = (self.api.hub.clone(), self.api.service.clone());
        tokio::spawn(router::route(hub, service, self.caller.clone(), theirs));
        ours
    }

    /// Asks the hub. Dropping the future cancels the work.
    pub(super) async fn ask<C: Call>(&self, call: &C) -> Result<C::Reply, Problem> {
        call_over(self.open(), None, call, PATIENCE).await.map_err(Problem::from)
    }

    /// Asks the hub for a feed. Dropping it cancels the work.
    pub(super) async fn feed<F: Feed>(&self, feed: &F) -> Result<FeedStream<F>, Problem> {
        feed_over(self.open(), None, feed).await.map_err(Problem::from)
    }
}
