//! A folder of a host as one `tar.zst` of this machine.

use super::{Progress, Way, blocking, local};
use cmdr_protocol::files::{Archive, Counted, FilePath};
use cmdr_protocol::{CallError, HostId};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// The file that comes, beside its place; gone with its value until it is whole.
struct Coming {
    part: PathBuf,
    whole: bool,
}

impl Drop for Coming {
    fn drop(&mut self) {
        if !self.whole {
            drop(std::fs::remove_file(&self.part));
        }
    }
}

/// Fetches it; what is in its place already stays. It is made while it comes, so that one that is cut begins anew.
pub async fn archive(
    way: &Way,
    host: HostId,
    path: FilePath,
    to: &Path,
) -> Result<Counted, CallError> {
    let wrong = |e: &io::Error| local("writing", to, e);
    if to.symlink_metadata().is_ok() {
        return Err(wrong(&io::ErrorKind::AlreadyExists.into()));
    }
    let client = (way.client)().await?;
    let mut feed = client.feed(Some(host), &Archive { path }).await?;
    let name = super::name(&[b"archive", to.as_os_str().as_encoded_bytes()]);
    let part = to.with_file_name(format!(".cmdr-{name}.part"));
    let mut file = File::create(&part).map_err(|e| wrong(&e))?;
    let mut coming = Coming { part, whole: false };
    let mut progress = Progress::default();
    loop {
        let half = || Err(CallError::lost("the host ended it half-way; an archive begins anew"));
        let item = feed.next().await.unwrap_or_else(half)?;
        progress.have += item.data.len() as u64;
        (progress.size, progress.carried) = (progress.have, progress.have);
        let place = to.to_owned();
        file = blocking(move || {
            file.write_all(&item.data).map_err(|e| local("writing", &place, &e))?;
            Ok(file)
        })
        .await?;
        (way.tell)(&progress);
        if let Some(packed) = item.packed {
            let (place, part) = (to.to_owned(), coming.part.clone());
            blocking(move || {
                let done = file.sync_all().and_then(|()| std::fs::rename(&part, &place));
                done.map_err(|e| local("writing", &place, &e))
            })
            .await?;
            coming.whole = true;
            return Ok(packed);
        }
    }
}
