//! `docker save`, `load` and `image cp`.

use super::images::image;
use crate::App;
use crate::args;
use crate::commands::processes::about;
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::{Column, unwritable};
use clap::Args;
use cmdr_protocol::CallError;
use cmdr_protocol::files::{Chunk, Sum};
use cmdr_protocol::images::{Copy, Copying, Load, Save};
use serde::Serialize;
use std::io::{Read as _, Write as _};

/// Bytes of one piece that is sent.
const PIECE: usize = 256 * 1024;

/// Write images of a host to standard output as one archive, as docker load reads it.
#[derive(Debug, Args)]
pub(super) struct SaveArgs {
    /// Which host.
    host: String,

    /// Names or ids; an id goes without a name.
    #[arg(required = true, value_name = "IMAGE", value_parser = image)]
    images: Vec<String>,
}

/// Load images of an archive from standard input, as docker save writes it.
#[derive(Debug, Args)]
pub(super) struct LoadArgs {
    /// Which host.
    host: String,
}

#[derive(Debug, Args)]
pub(super) struct CpArgs {
    /// The host that has it.
    from: String,

    /// The hosts that get it.
    #[arg(value_name = "TO", value_parser = args::selector)]
    to: String,

    /// Its name; an id goes without a name.
    #[arg(value_parser = image)]
    image: String,
}

pub(super) async fn save(app: &App, args: &SaveArgs) -> Result<Exit, Failure> {
    if app.out.tty_out {
        return Err(Failure::usage("an archive is nothing for a terminal")
            .hint("write it into a file: > images.tar"));
    }
    let hub = Hub::connect(app).await?;
    let host = hub.one_host(&args.host).await?;
    let save = Save { images: args.images.clone(), without: Vec::new() };
    let mut feed = hub.client.feed(Some(host.id), &save).await?;
    while let Some(item) = feed.next().await {
        let Chunk { data, sum, .. } = item?;
        let written = tokio::task::spawn_blocking(move || {
            let mut out = std::io::stdout().lock();
            out.write_all(&data).and_then(|()| out.flush())
        });
        let written = written.await.map_err(|e| Failure::new(Exit::Fault, e.to_string()))?;
        written.map_err(|e| unwritable(&e))?;
        if let Some(sum) = sum {
            app.out.note(&format!("{} saved", human::bytes(sum.size)));
            return Ok(Exit::Ok);
        }
    }
    Err(CallError::lost("the host ended the archive half-way").into())
}

/// An image that was loaded, as data.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    host: String,
    image: String,
}

pub(super) async fn load(app: &App, args: &LoadArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let host = hub.one_host(&args.host).await?;
    let (mut items, mut inputs) = hub.client.feed(Some(host.id), &Load {}).await?.split();
    let sending = async move {
        let mut at = 0;
        loop {
            let piece = tokio::task::spawn_blocking(|| {
                let mut piece = Vec::new();
                let read = std::io::stdin().lock().take(PIECE as u64).read_to_end(&mut piece);
                read.map(|_| piece)
            });
            let data = piece.await.map_err(|e| CallError::failed(e.to_string()))?;
            let data =
                data.map_err(|e| CallError::failed(format!("reading standard input: {e}")))?;
            let length = data.len() as u64;
            let sum = data.is_empty().then(|| Sum { size: at, ..Sum::default() });
            let over = sum.is_some();
            inputs.send(&Chunk { at, data, sum, ..Chunk::default() }).await?;
            if over {
                return Ok::<_, CallError>(inputs);
            }
            at += length;
        }
    };
    let mut sending = std::pin::pin!(sending);
    let (mut sent, mut loaded) = (None, None);
    loop {
        tokio::select! {
            biased;
            item = items.next() => match item {
                Some(item) => loaded = item?.loaded.or(loaded),
                None => break,
            },
            // A host that takes no more says why; what cannot be read here is said at once.
            result = &mut sending, if sent.is_none() => match result {
                Err(e) if e.message.starts_with("reading standard input") => return Err(e.into()),
                result => sent = Some(result),
            },
        }
    }
    let loaded = loaded.ok_or_else(|| CallError::lost("the host ended it half-way"))?;
    let row = |image: String| Row { host: host.name.clone(), image };
    let rows: Vec<_> = loaded.images.into_iter().map(row).collect();
    let columns = [Column::text("LOADED", |row: &Row| row.image.as_str().into())];
    app.out.list(&rows, &columns, |row| row.image.clone())?;
    Ok(Exit::Ok)
}

/// What came of a copy as data.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Outcome {
    host: String,
    image: String,
    layers: u32,
    layers_there: u32,
    carried: u64,
}

async fn follow(hub: &Hub, order: &Copy) -> Result<Copying, CallError> {
    let mut feed = hub.client.feed(None, order).await?;
    while let Some(item) = feed.next().await {
        let item = item?;
        if item.loaded.is_some() {
            return Ok(item);
        }
    }
    Err(CallError::lost("the hub ended half-way"))
}

pub(super) async fn cp(app: &App, args: &CpArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let from = hub.one_host(&args.from).await?;
    let targets = hub.resolve(&args.to).await?;
    let (mut rows, mut exit) = (Vec::new(), Exit::Ok);
    let many = targets.len() > 1;
    for target in targets.iter().filter(|target| !many || target.id != from.id) {
        let order = Copy { from: from.id, to: target.id, image: args.image.clone() };
        match follow(&hub, &order).await {
            Ok(done) => rows.push(Outcome {
                host: target.name.clone(),
                image: args.image.clone(),
                layers: done.layers,
                layers_there: done.there,
                carried: done.carried,
            }),
            Err(error) => {
                let failure = Failure::from(error);
                app.out.warn(&about(&target.name, &failure.message));
                exit = exit.worst(failure.exit);
            }
        }
    }
    let columns = [
        Column::text("HOST", |o: &Outcome| o.host.as_str().into()),
        Column::text("IMAGE", |o: &Outcome| o.image.as_str().into()),
        Column::figure("LAYERS", |o: &Outcome| o.layers.to_string().into()),
        Column::figure("THERE", |o: &Outcome| o.layers_there.to_string().into()),
        Column::figure("CARRIED", |o: &Outcome| human::bytes(o.carried).into()),
    ];
    if !rows.is_empty() || !app.out.format.is_table() {
        app.out.list(&rows, &columns, |o| format!("{}/{}", o.host, o.image))?;
    }
    Ok(exit)
}
