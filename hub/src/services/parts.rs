//! What a caller asks of one host by way of the hub: decided and put down like any other request of theirs. `registries`
//! and `images` use it.

use super::files::Recorded;
use crate::audit::trail::{self, Trail};
use crate::router;
use crate::server::Hub;
use cmdr_link::codec;
use cmdr_link::frame::{FrameReader, FrameWriter, Tag};
use cmdr_link::mux::Stream;
use cmdr_protocol::envelope::{Caller, Header, Kind};
use cmdr_protocol::{CallError, Feed, HostId};
use std::sync::Arc;

/// Who asks which host.
pub(super) struct Part<'a> {
    pub(super) hub: &'a Arc<Hub>,
    pub(super) caller: &'a Caller,
    pub(super) trace: u64,
    pub(super) host: HostId,
}

impl Part<'_> {
    pub(super) fn header(&self, method: &str, kind: Kind, resource: String) -> Header {
        Header {
            to: Some(self.host),
            method: method.to_owned(),
            kind,
            resource,
            deadline_ms: None,
            trace: self.trace,
            caller: Some(self.caller.clone()),
        }
    }

    /// Whether the caller may; a refusal is put down.
    pub(super) async fn allowed(&self, header: &Header) -> Result<(), CallError> {
        let allowed = router::authorise(self.hub, &self.hub.who(self.caller), header);
        if let Err(e) = &allowed {
            trail::denied(self.hub, self.caller, header, e).await;
        }
        allowed
    }

    /// Decides it and puts down that it begins.
    pub(super) async fn begin<F: Feed>(&self, feed: &F) -> Result<Recorded, CallError> {
        let header = self.header(F::METHOD, Kind::Feed, feed.resource());
        self.allowed(&header).await?;
        let request = codec::encode(feed).map_err(|e| CallError::failed(e.to_string()))?;
        Ok(Recorded(Trail::part(self.hub, self.caller, &header, &request).await?))
    }

    /// Opens the stream of one that has begun.
    pub(super) async fn open<F: Feed>(
        &self,
        feed: &F,
    ) -> Result<(FrameReader<Stream>, FrameWriter<Stream>), CallError> {
        let header = self.header(F::METHOD, Kind::Feed, feed.resource());
        let onward = router::onward(self.hub, self.host, &header).await?;
        let request = codec::encode(feed).map_err(|e| CallError::failed(e.to_string()))?;
        let mut writer = FrameWriter::new(onward.clone());
        writer.send(Tag::Body, &request).await.map_err(|e| router::broke(&e))?;
        Ok((FrameReader::new(onward), writer))
    }
}
