//! Copies of images from one host to another: saved there, loaded here, carried between the two unread, and without the
//! layers that are there already.

use super::files::{Broke, frame, lost, next, said};
use super::parts::Part;
use super::{HubService, nobody};
use crate::server::Hub;
use cmdr_link::Client;
use cmdr_link::frame::{FrameReader, FrameWriter, Tag};
use cmdr_link::mux::Stream;
use cmdr_link::service::{Asked, Feeding};
use cmdr_protocol::images::{
    Copy, Copying, Having, Layered, Layers, Load, Loading, Save, There, check_image,
};
use cmdr_protocol::{CallError, ErrorKind};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long a short question to a host may take.
const QUESTION: Duration = Duration::from_mins(1);
/// How often the caller hears how far it is.
const TELL: Duration = Duration::from_millis(250);

pub(super) fn register(service: HubService) -> HubService {
    service.feed(copy)
}

async fn copy(
    hub: Arc<Hub>,
    asked: Asked,
    copy: Copy,
    feeding: Feeding<Copy>,
) -> Result<(), CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    check_image(&copy.image).map_err(CallError::malformed)?;
    if copy.from == copy.to {
        return Err(CallError::malformed("a host has its own images; name two hosts"));
    }
    let part = |host| Part { hub: &hub, caller: &caller, trace: asked.trace, host };
    let (from, to) = (part(copy.from), part(copy.to));
    let saving = from.begin(&Save { images: vec![copy.image.clone()], ..Save::default() }).await?;
    let loading = match to.begin(&Load {}).await {
        Ok(loading) => loading,
        Err(e) => {
            saving.end(Err(e.clone())).await.ok();
            return Err(e);
        }
    };
    let done = carry(&from, &to, &copy.image, &feeding).await;
    let told = done.as_ref().map(drop).map_err(CallError::clone);
    let (saved, loaded) = tokio::join!(saving.end(told.clone()), loading.end(told));
    let copying = done?;
    saved.and(loaded)?;
    feeding.send(&copying).await
}

async fn carry(
    from: &Part<'_>,
    to: &Part<'_>,
    image: &str,
    feeding: &Feeding<Copy>,
) -> Result<Copying, CallError> {
    // Both are parts of what is allowed: the one of saving, the other of loading.
    let ask = |part: &Part<'_>| part.hub.fleet.link(part.host).map(Client::new);
    let layers = Layers { image: image.to_owned() };
    let found = ask(from)?.call_for(from.caller, Some(from.host), &layers, QUESTION).await?;
    let having = Having { layers: found.layers.clone() };
    let there = match ask(to)?.call_for(to.caller, Some(to.host), &having, QUESTION).await {
        // An older agent: all is sent.
        Err(e) if e.kind == ErrorKind::UnknownMethod => There::default(),
        there => there?,
    };
    let count = (there.count as usize).min(found.layers.len());
    let mut save = Save { images: vec![image.to_owned()], without: without(&found, count) };
    let mut copying = Copying {
        layers: u32::try_from(found.layers.len()).unwrap_or(u32::MAX),
        there: u32::try_from(save.without.len()).unwrap_or(u32::MAX),
        size: found.size,
        ..Copying::default()
    };
    feeding.send(&copying).await?;
    match attempt(from, to, &save, &mut copying, feeding).await {
        // What was there may be gone meanwhile, or this engine wants to see it all the same.
        Err(e) if e.kind == ErrorKind::Failed && !save.without.is_empty() => {
            tracing::info!("an image is carried once more, with all of its layers: {e}");
            save.without.clear();
            copying.there = 0;
            attempt(from, to, &save, &mut copying, feeding).await?;
        }
        ended => ended?,
    }
    Ok(copying)
}

/// The first layers, as many as are there, but for those that come once more above them.
fn without(found: &Layered, count: usize) -> Vec<String> {
    let (there, missing) = found.layers.split_at(count);
    there.iter().filter(|layer| !missing.contains(layer)).cloned().collect()
}

async fn attempt(
    from: &Part<'_>,
    to: &Part<'_>,
    save: &Save,
    copying: &mut Copying,
    feeding: &Feeding<Copy>,
) -> Result<(), CallError> {
    let (mut from_target, mut to_target) = to.open(&Load {}).await?;
    let (mut from_source, _keep_open) = from.open(save).await?;
    let (note, noted) = watch::channel(0);
    let mut carrying = std::pin::pin!(pieces(&mut from_source, &mut to_target, &note));
    let (mut carried, before) = (false, copying.carried);
    let mut tick = tokio::time::interval(TELL);
    loop {
        tokio::select! {
            biased;
            item = next::<Loading>(&mut from_target) => {
                copying.carried = before + *noted.borrow();
                if let Some(loaded) = item?.loaded {
                    copying.loaded = Some(loaded);
                    return Ok(());
                }
            }
            done = &mut carrying, if !carried => match done {
                Ok(()) => carried = true,
                // The one who loads may have said why it takes no more.
                Err(Broke::Target(e)) => return Err(said(&mut from_target).await.unwrap_or(e)),
                Err(Broke::Source(e)) => return Err(e),
            },
            _ = tick.tick() => {
                copying.carried = before + *noted.borrow();
                feeding.send(copying).await?;
            }
        }
    }
}

/// Carries the pieces as they are.
async fn pieces(
    source: &mut FrameReader<Stream>,
    target: &mut FrameWriter<Stream>,
    note: &watch::Sender<u64>,
) -> Result<(), Broke> {
    let broke = |e: std::io::Error| Broke::Target(lost("loads", Some(e)));
    loop {
        let (tag, payload) = frame(source, "saves").await.map_err(Broke::Source)?;
        if tag != Tag::Body {
            return Ok(());
        }
        let len = payload.len() as u64;
        target.send_bytes(Tag::Body, payload).await.map_err(broke)?;
        note.send_modify(|noted| *noted += len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_that_comes_once_more_is_sent_although_it_is_there() {
        let layers = ["a", "b", "c", "b"].map(str::to_owned).to_vec();
        let found = Layered { layers, ..Layered::default() };
        assert_eq!(without(&found, 3), ["a", "c"]);
        assert_eq!(without(&found, 4), ["a", "b", "c", "b"]);
        assert!(without(&found, 0).is_empty());
    }
}
