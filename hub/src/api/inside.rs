//! A program's requests to the hub in this same process: through the router, as if over a link.

use super::bearer::Program;
use super::problem::Problem;
use crate::router;
use cmdr_link::client::{all_pages, call_over, feed_over};
use cmdr_link::frame::MAX_FRAME;
use cmdr_link::mux::Stream;
use cmdr_link::{FeedStream, codec};
use cmdr_protocol::pages::Paged;
use cmdr_protocol::{Call, CallError, Feed, HostId};
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
        // In JSON it may be shorter than it is here.
        if codec::size(call) >= MAX_FRAME {
            return Err(Problem::too_large(format!(
                "what is asked for is larger than {} MiB; upload large files with: POST /v1/files",
                MAX_FRAME >> 20
            )));
        }
        call_over(self.open(), None, call, PATIENCE).await.map_err(Problem::from)
    }

    /// Asks the hub for all pages of a list.
    pub(super) async fn ask_all<C: Paged>(&self, call: C) -> Result<C::Reply, Problem> {
        all_pages(call, |call| async move { self.ask(&call).await }).await
    }

    /// Asks a host.
    pub(super) async fn ask_at<C: Call>(
        &self,
        host: HostId,
        call: &C,
    ) -> Result<C::Reply, CallError> {
        call_over(self.open(), Some(host), call, PATIENCE).await
    }

    /// Asks a host for a feed.
    pub(super) async fn feed_at<F: Feed>(
        &self,
        host: HostId,
        feed: &F,
    ) -> Result<FeedStream<F>, CallError> {
        feed_over(self.open(), Some(host), feed).await
    }

    /// Asks the hub for a feed. Dropping it cancels the work.
    pub(super) async fn feed<F: Feed>(&self, feed: &F) -> Result<FeedStream<F>, Problem> {
        feed_over(self.open(), None, feed).await.map_err(Problem::from)
    }
}
