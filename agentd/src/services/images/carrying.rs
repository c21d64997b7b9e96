//! Images as archives: out of the engine without what the other side has, and into it.

use super::rows;
use super::sieve::Sieve;
use super::spool::Spool;
use super::{KNOWN, checked, note, shaped};
use crate::Agent;
use crate::engine::{Engine, told};
use bollard::query_parameters::ImportImageOptions;
use bytes::{Bytes, BytesMut};
use cmdr_link::piece;
use cmdr_link::service::{Asked, Feeding};
use cmdr_protocol::CallError;
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::files::{Chunk, Sum};
use cmdr_protocol::images::{
    Having, Layered, Layers, Load, Loaded, Loading, Save, There, check_image,
};
use futures::StreamExt as _;
use serde::Deserialize;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// An engine writes all that it saves to its disk before it says the first word.
const PATIENCE: Duration = Duration::from_hours(6);
/// Bytes in a piece that is sent.
const PIECE: usize = 256 * 1024;
/// Pieces that the engine has not taken yet.
const QUEUE: usize = 4;
/// Images in one archive.
const MOST: usize = 100;
/// Layers of one image; no engine makes as many.
const LAYERS: usize = 1000;
/// How often it is told how much was taken.
const TELL: u64 = 1 << 20;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Described {
    id: String,
    size: u64,
    #[serde(rename = "RootFS")]
    root: Root,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Root {
    layers: Option<Vec<String>>,
}

async fn described(engine: &Engine, image: &str) -> Result<Layered, CallError> {
    let attempted = format!("look into {image}");
    let found = engine.get_in(KNOWN, &attempted, &format!("/images/{image}/json")).await?;
    let found: Described = shaped(&attempted, found)?;
    Ok(Layered { id: found.id, layers: found.root.layers.unwrap_or_default(), size: found.size })
}

pub(super) async fn layers(
    agent: Arc<Agent>,
    _: Asked,
    call: Layers,
) -> Result<Layered, CallError> {
    described(&agent.engine().await?, checked(&call.image)?).await
}

pub(super) async fn having(agent: Arc<Agent>, _: Asked, call: Having) -> Result<There, CallError> {
    if call.layers.len() > LAYERS {
        return Err(CallError::malformed(format!("an image has at most {LAYERS} layers")));
    }
    let engine = agent.engine().await?;
    let mut most = 0;
    // What lies below others has no name, and is found in those.
    for image in rows::all(&engine, false).await? {
        // One that is gone meanwhile is not there.
        let Ok(found) = described(&engine, &image.id).await else { continue };
        let same = call.layers.iter().zip(&found.layers).take_while(|(a, b)| a == b).count();
        most = most.max(same);
    }
    Ok(There { count: u32::try_from(most).unwrap_or(0) })
}

pub(super) async fn save(
    agent: Arc<Agent>,
    _: Asked,
    call: Save,
    feeding: Feeding<Save>,
) -> Result<(), CallError> {
    let images: Vec<&str> = call.images.iter().map(String::as_str).collect();
    if images.is_empty() || images.len() > MOST {
        return Err(CallError::malformed(format!("one archive has 1 to {MOST} images")));
    }
    images.iter().try_for_each(|image| check_image(image)).map_err(CallError::malformed)?;
    let engine = agent.engine().await?;
    let (mut layers, mut size) = (Vec::new(), 0);
    for image in &images {
        // The engine would begin an archive and break it off.
        let described = described(&engine, image).await?;
        layers.push(described.layers);
        size += described.size;
    }
    let mut sending = Sending { feeding: &feeding, at: 0 };
    let first = Sieve::new(Sieve::names(&call.without));
    let mut spool = None;
    if !call.without.is_empty() {
        spool = Spool::new(&agent.config().state_dir, size);
    }
    let look = !call.without.is_empty();
    let sieve = sending.pass(&engine, &images, first, look, &mut spool).await?;
    if let Some(sieve) = sieve {
        let files = Sieve::new(sieve.files_of(&layers, &call.without));
        match spool {
            Some(spool) => sending.kept(spool, files).await?,
            None => drop(sending.pass(&engine, &images, files, false, &mut None).await?),
        }
    }
    let sum = Sum { size: sending.at, ..Sum::default() };
    feeding.send(&Chunk { at: sending.at, sum: Some(sum), ..Chunk::default() }).await
}

struct Sending<'a> {
    feeding: &'a Feeding<Save>,
    at: u64,
}

impl Sending<'_> {
    /// Sends what passes. When it shows that the archive is an older engine's and `look` is set, nothing is sent, and
    /// the sieve has what was found out; the archive is in the spool then, unless that had no room for it.
    async fn pass(
        &mut self,
        engine: &Engine,
        images: &[&str],
        mut sieve: Sieve,
        look: bool,
        spool: &mut Option<Spool>,
    ) -> Result<Option<Sieve>, CallError> {
        let attempted = format!("save {}", images.join(", "));
        let docker = (**engine).clone().with_timeout(PATIENCE);
        let mut stream = pin!(docker.export_images(images));
        let mut out = Vec::new();
        while let Some(bytes) = stream.next().await {
            let bytes = bytes.map_err(|e| told(&attempted, &e))?;
            sieve
                .take(&bytes, &mut out)
                .map_err(|e| CallError::failed(format!("{attempted}: {e}")))?;
            match sieve.is_of_an_older_engine() {
                Some(true) if look => {
                    // None of its names is one of a newer engine's: all that came has passed.
                    let Some(there) = spool else {
                        out.clear();
                        continue;
                    };
                    if out.len() >= PIECE && there.keep(std::mem::take(&mut out)).await.is_err() {
                        // The engine is asked once more.
                        *spool = None;
                    }
                }
                None if look => {}
                _ if out.len() >= PIECE => self.send(&mut out).await?,
                _ => {}
            }
        }
        if look && sieve.is_of_an_older_engine() == Some(true) {
            if let Some(there) = spool
                && there.keep(out).await.is_err()
            {
                *spool = None;
            }
            return Ok(Some(sieve));
        }
        self.send(&mut out).await?;
        Ok(None)
    }

    /// Sends what passes of an archive that was kept.
    async fn kept(&mut self, mut spool: Spool, mut sieve: Sieve) -> Result<(), CallError> {
        let broke =
            |e: &dyn std::fmt::Display| CallError::failed(format!("reading what was saved: {e}"));
        spool.rewind().map_err(|e| broke(&e))?;
        let mut out = Vec::new();
        while let Some(bytes) = spool.next().await.map_err(|e| broke(&e))? {
            sieve.take(&bytes, &mut out).map_err(|e| broke(&e))?;
            if out.len() >= PIECE {
                self.send(&mut out).await?;
            }
        }
        self.send(&mut out).await
    }

    async fn send(&mut self, out: &mut Vec<u8>) -> Result<(), CallError> {
        for part in out.chunks(PIECE) {
            let length = u32::try_from(part.len()).unwrap_or(0);
            let mut frame = BytesMut::with_capacity(piece::HEAD + part.len());
            frame.extend_from_slice(&piece::head(self.at, length));
            frame.extend_from_slice(part);
            self.feeding.send_piece(frame.freeze()).await?;
            self.at += u64::from(length);
        }
        out.clear();
        Ok(())
    }
}

pub(super) async fn load(
    agent: Arc<Agent>,
    asked: Asked,
    _: Load,
    mut feeding: Feeding<Load>,
) -> Result<(), CallError> {
    let attempted = "load images";
    let engine = agent.engine().await?;
    let docker = (*engine).clone().with_timeout(PATIENCE);
    let (give, taken) = mpsc::channel::<Queued>(QUEUE);
    let body = futures::stream::unfold(taken, |mut taken| async move {
        taken.recv().await.map(|bytes| (bytes, taken))
    });
    let options = ImportImageOptions { quiet: true, platform: None };
    let mut answers = pin!(docker.import_image_stream(options, body, None));
    let mut loaded = Loaded::default();
    let (mut give, mut at, mut told_of) = (Some(give), 0, 0);
    // What waits for room; nothing more is taken before it has it, and the engine is heard meanwhile.
    let mut waiting: Option<Bytes> = None;
    let mut is_all = false;
    loop {
        if waiting.is_none() && is_all {
            give = None;
        }
        tokio::select! {
            biased;
            answer = answers.next() => match answer {
                Some(answer) => {
                    let line = answer.map_err(|e| told(attempted, &e))?.stream.unwrap_or_default();
                    loaded.images.extend(named(&line));
                }
                None => break,
            },
            room = room(give.as_ref()), if waiting.is_some() => {
                let piece = waiting.take().unwrap_or_default();
                if let Some(room) = room {
                    room.send(Ok(piece));
                } else {
                    // The engine takes no more, and says why.
                    is_all = true;
                }
            }
            piece = feeding.input_piece(), if waiting.is_none() && give.is_some() => {
                let piece = piece?;
                if piece.at != at {
                    return Err(CallError::malformed("a piece of the archive is missing"));
                }
                at += piece.data.len() as u64;
                waiting = Some(piece.data).filter(|data| !data.is_empty());
                is_all = piece.sum.is_some();
                if at >= told_of + TELL {
                    told_of = at;
                    feeding.send(&Loading { taken: at, loaded: None }).await?;
                }
            }
        }
    }
    if loaded.images.is_empty() {
        return Err(CallError::failed(format!(
            "{attempted}: the Docker engine took {at} bytes and loaded nothing; is it an archive of images?"
        )));
    }
    note(&asked, &format!("loaded {}", loaded.images.join(", ")));
    feeding.send(&Loading { taken: at, loaded: Some(loaded) }).await
}

type Queued = Result<Bytes, std::io::Error>;

/// Room for one piece, when there is; nothing when it is of no use any more.
async fn room(give: Option<&mpsc::Sender<Queued>>) -> Option<mpsc::Permit<'_, Queued>> {
    give?.reserve().await.ok()
}

/// What the engine says that it has loaded.
fn named(line: &str) -> Option<String> {
    let name = line.trim().strip_prefix("Loaded image")?;
    let name = name.trim_start_matches(" ID").trim_start_matches(": ");
    Some(clean_to_width(name, 600))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_loaded_is_read_out_of_the_engines_words() {
        assert_eq!(named("Loaded image: web:1\n").as_deref(), Some("web:1"));
        assert_eq!(named("Loaded image ID: sha256:ab\n").as_deref(), Some("sha256:ab"));
        assert_eq!(named("abc: Loading layer"), None);
    }
}
