//! A program's requests to the hub in this same process: through the router, as if over a link.

use super::bearer::Program;
use super::problem::Problem;
use super::programs::Presence;
use crate::keyring::Standing;
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

/// A feed that a program follows; it is there for as long.
pub(super) struct Followed<F: Feed> {
    pub(super) feed: FeedStream<F>,
    pub(super) presence: Presence,
}

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

    /// Asks the hub for a feed that only gives. Dropping it cancels the work.
    pub(super) async fn feed<F: Feed>(&self, feed: &F) -> Result<Followed<F>, Problem> {
        // From here on it is cut when its rights change. What changed since its key was looked at is seen at once.
        let presence = self.api.hub.programs.enter(self.caller.key);
        if !matches!(self.api.hub.keyring.standing(self.caller.key), Standing::Active(..)) {
            return Err(Problem::unauthorized("this program's key does not work any more"));
        }
        Ok(Followed { feed: self.upload(feed).await?, presence })
    }

    /// Asks the hub for a feed that is sent to. Dropping it cancels the work.
    pub(super) async fn upload<F: Feed>(&self, feed: &F) -> Result<FeedStream<F>, Problem> {
        feed_over(self.open(), None, feed).await.map_err(Problem::from)
    }
}
