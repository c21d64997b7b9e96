//! Contents of files, sent by whoever will make a run of them.

use super::pages::Page;
use super::{HubService, nobody};
use crate::server::Hub;
use cmdr_link::service::{Asked, Feeding};
use cmdr_protocol::blobs::{Blob, Delete, List, Listing, PAGE, Upload};
use cmdr_protocol::{CallError, Revoked};
use std::sync::Arc;

pub(super) fn register(service: HubService) -> HubService {
    service.feed(upload).on(list).on(delete)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, CallError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| CallError::failed(format!("a fault of the hub: {e}")))
}

async fn upload(
    hub: Arc<Hub>,
    asked: Asked,
    upload: Upload,
    feeding: Feeding<Upload>,
) -> Result<(), CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let Upload { hash, size } = upload;
    let _coming = hub.blobs.coming(&caller.operator, size)?;
    let who = hub.who(&caller);
    let holder = hub.clone();
    let held = move |hash: &str| holder.needs_blob(hash);
    let sender = crate::blobs::sender(&who.operator, who.since_ms);
    hub.blobs.files().receive(&hash, size, Some(&sender), feeding, held).await?;
    tracing::info!(blob = hash, size, by = caller.name, "a content is here");
    Ok(())
}

async fn list(hub: Arc<Hub>, _: Asked, list: List) -> Result<Listing, CallError> {
    let files = hub.blobs.files().clone();
    let blobs = blocking(move || files.list()).await?;
    Ok(Listing { most: hub.blobs.files().most(), ..page(blobs, &list)? })
}

/// What was asked for of all contents.
fn page(mut blobs: Vec<Blob>, list: &List) -> Result<Listing, CallError> {
    let bytes = blobs.iter().map(|blob| blob.size).sum();
    if list.limit > 0 {
        // What is used meanwhile must not jump over those that were told.
        blobs.sort_by(|a, b| (&a.hash, a.whole).cmp(&(&b.hash, b.whole)));
    }
    let mut page = Page::new(list.limit, PAGE);
    for blob in blobs.into_iter().filter(|blob| list.after.is_empty() || blob.hash > list.after) {
        if page.take(blob).is_break() {
            break;
        }
    }
    let (blobs, more) = page.done()?;
    let mut next = String::new();
    if more && let Some(last) = blobs.last() {
        next.clone_from(&last.hash);
    }
    Ok(Listing { blobs, bytes, next, most: 0 })
}

async fn delete(hub: Arc<Hub>, asked: Asked, delete: Delete) -> Result<Revoked, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let files = hub.blobs.files().clone();
    let hash = delete.hash.clone();
    let there = blocking(move || files.remove(&hash)).await?;
    tracing::info!(blob = delete.hash, there, by = caller.name, "a content is taken away");
    Ok(Revoked { already: !there })
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_link::client::all_pages;
    use cmdr_link::codec;
    use cmdr_link::frame::MAX_FRAME;

    #[tokio::test]
    async fn many_contents_are_listed_in_pages_to_the_end() {
        let blob = |n: u64| Blob {
            hash: blake3::hash(&n.to_be_bytes()).to_hex().to_string(),
            size: 1 << 30,
            used_ms: 1_700_000_000_000 + n,
            whole: true,
        };
        let blobs: Vec<_> = (0..20_000).map(blob).collect();
        assert!(page(blobs.clone(), &List::default()).is_err(), "all at once are too many");
        let few = page(blobs[..100].to_vec(), &List::default()).unwrap();
        assert_eq!((few.blobs.as_slice(), few.next.as_str()), (&blobs[..100], ""));
        let listed = all_pages(List::all(), |call| {
            let listing = page(blobs.clone(), &call);
            assert!(listing.as_ref().is_ok_and(|listing| codec::size(listing) < MAX_FRAME));
            std::future::ready(listing)
        });
        let listed = listed.await.unwrap();
        assert_eq!((listed.blobs.len(), listed.bytes), (20_000, 20_000 << 30));
        assert!(listed.blobs.is_sorted_by(|a, b| a.hash < b.hash));
    }
}
