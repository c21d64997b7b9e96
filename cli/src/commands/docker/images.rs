//! `docker images`, `history`, `tag`, `rmi` and `image`.

use super::{archives, told};
use crate::App;
use crate::args::{self, Yes};
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::Column;
use clap::{Args, Subcommand};
use cmdr_protocol::images::{
    History, Image, Inspect, List, Reference, Remove, Removed, Step, Tag, check_image,
};
use serde::Serialize;

/// List images of one host or more.
#[derive(Debug, Args)]
pub(super) struct ImagesArgs {
    /// Which hosts.
    #[arg(value_name = "HOST", value_parser = args::selector)]
    selector: String,

    /// Only images of this name, with a tag or without.
    #[arg(value_name = "NAME")]
    name: Option<String>,

    /// Also layers that are images of their own and have no name.
    #[arg(short, long)]
    all: bool,

    /// Only those that no name leads to any more.
    #[arg(long)]
    dangling: bool,

    /// Only those that no container was made from.
    #[arg(long)]
    unused: bool,
}

/// Show the steps that an image was made by.
#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    /// Which host.
    host: String,

    /// Its name or id.
    #[arg(value_parser = image)]
    image: String,
}

/// Give an image one more name.
#[derive(Debug, Args)]
pub(super) struct TagArgs {
    /// Which hosts.
    #[arg(value_name = "HOST", value_parser = args::selector)]
    selector: String,

    /// Its name or id.
    #[arg(value_parser = image)]
    image: String,

    /// The new name.
    #[arg(value_parser = named)]
    name: String,
}

/// Remove images: a name, and the image itself with its last name.
#[derive(Debug, Args)]
pub(super) struct RmiArgs {
    /// Which hosts.
    #[arg(value_name = "HOST", value_parser = args::selector)]
    selector: String,

    /// Names or ids.
    #[arg(required = true, value_name = "IMAGE", value_parser = image)]
    images: Vec<String>,

    /// Also when stopped containers were made from it, or it has several names.
    #[arg(short, long)]
    force: bool,

    /// Keep what it was made from and has no name.
    #[arg(long)]
    no_prune: bool,

    #[command(flatten)]
    yes: Yes,
}

/// Look at one image, or copy it to other hosts.
#[derive(Debug, Args)]
pub(super) struct ImageArgs {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Show all that the engine says about it.
    Inspect(InspectArgs),
    /// Copy it to other hosts without a registry, and without the layers that are there.
    Cp(archives::CpArgs),
}

#[derive(Debug, Args)]
struct InspectArgs {
    /// Which host.
    host: String,

    /// Its name or id.
    #[arg(value_parser = image)]
    image: String,
}

/// A name or an id.
pub(super) fn image(text: &str) -> Result<String, String> {
    check_image(text).map(|()| text.to_owned())
}

/// A name.
pub(super) fn named(text: &str) -> Result<String, String> {
    Reference::parse(text).map(|_| text.to_owned())
}

/// One name of one image as data: the field names are docker's.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    host: String,
    #[serde(rename = "ID")]
    id: String,
    repository: String,
    tag: String,
    digest: String,
    created_at: Option<String>,
    created_since: String,
    /// Bytes.
    size: u64,
    containers: u32,
    used_by: Vec<String>,
    labels: String,
}

/// A row for each name; one for an image that has none.
fn rows(host: &str, image: &Image) -> Vec<Row> {
    let digest_of = |name: &str| {
        let digests = image.digests.iter().filter_map(|digest| digest.split_once('@'));
        digests.filter(|(of, _)| *of == name).map(|(_, digest)| digest.to_owned()).next()
    };
    let row = |repository: &str, tag: &str| Row {
        host: host.to_owned(),
        id: image.id.clone(),
        repository: repository.to_owned(),
        tag: tag.to_owned(),
        digest: digest_of(repository).unwrap_or_default(),
        created_at: told::moment(image.created_s),
        created_since: told::since(image.created_s),
        size: image.size,
        containers: image.users,
        used_by: image.used_by.clone(),
        labels: told::labels(&image.labels),
    };
    if image.tags.is_empty() {
        let name = image.digests.first().and_then(|digest| digest.split_once('@'));
        return vec![row(name.map_or("", |(name, _)| name), "")];
    }
    let parts = |name: &str| match name.rsplit_once(':') {
        Some((repository, tag)) => row(repository, tag),
        None => row(name, ""),
    };
    image.tags.iter().map(|name| parts(name)).collect()
}

fn columns(many: bool) -> Vec<Column<Row>> {
    let mut columns = Vec::new();
    if many {
        columns.push(Column::text("HOST", |r: &Row| r.host.as_str().into()));
    }
    columns.extend([
        Column::text("REPOSITORY", |r: &Row| told::or_none(&r.repository)),
        Column::text("TAG", |r: &Row| told::or_none(&r.tag)),
        Column::text("IMAGE ID", |r: &Row| told::short(&r.id).into()),
        Column::text("DIGEST", |r: &Row| told::or_none(&r.digest)).wide(),
        Column::figure("CREATED", |r: &Row| r.created_since.as_str().into()),
        Column::figure("SIZE", |r: &Row| human::bytes(r.size).into()),
        Column::text("USED BY", |r: &Row| {
            let more = (r.containers as usize).saturating_sub(r.used_by.len());
            let names = r.used_by.join(",");
            if more > 0 { format!("{names} and {more} more").into() } else { names.into() }
        }),
    ]);
    columns
}

pub(super) async fn images(app: &App, args: &ImagesArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let targets = hub.resolve(&args.selector).await?;
    let wanted = |row: &Row| {
        let full = format!("{}:{}", row.repository, row.tag);
        args.name.as_ref().is_none_or(|name| *name == row.repository || *name == full)
            && (!args.dangling || row.tag.is_empty())
            && (!args.unused || row.containers == 0)
    };
    let columns = columns(targets.len() > 1);
    let call = List { all: args.all };
    let make = |host: &str, listing: cmdr_protocol::images::Listing| {
        told::left_out(app, host, listing.left_out, "images");
        let mut all: Vec<_> = listing.images.iter().flat_map(|image| rows(host, image)).collect();
        all.retain(wanted);
        all.sort_by(|a, b| (&a.repository, &a.tag).cmp(&(&b.repository, &b.tag)));
        all
    };
    told::list(app, &hub, &targets, &call, make, (&columns, |row| row.id.clone())).await
}

/// A step as data: the field names are docker's.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown {
    host: String,
    #[serde(rename = "ID")]
    id: String,
    created_at: Option<String>,
    created_since: String,
    created_by: String,
    size: u64,
    comment: String,
    tags: Vec<String>,
}

pub(super) async fn history(app: &App, args: &HistoryArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let host = hub.one_host(&args.host).await?;
    let found = hub.ask_host(host.id, &History { image: args.image.clone() }).await?;
    let shown = |step: Step| Shown {
        host: host.name.clone(),
        created_at: told::moment(step.created_s),
        created_since: told::since(step.created_s),
        created_by: step.by,
        size: step.size,
        comment: step.comment,
        tags: step.tags,
        id: step.id,
    };
    let rows: Vec<_> = found.steps.into_iter().map(shown).collect();
    let columns = [
        Column::text("IMAGE", |r: &Shown| told::short(&r.id).into()),
        Column::figure("CREATED", |r: &Shown| r.created_since.as_str().into()),
        Column::figure("SIZE", |r: &Shown| human::bytes(r.size).into()),
        Column::text("COMMENT", |r: &Shown| r.comment.as_str().into()).wide(),
        Column::text("CREATED BY", |r: &Shown| r.created_by.as_str().into()),
    ];
    app.out.list(&rows, &columns, |r| r.id.clone())?;
    Ok(Exit::Ok)
}

pub(super) async fn tag(app: &App, args: &TagArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let targets = hub.resolve(&args.selector).await?;
    let call = Tag { image: args.image.clone(), name: args.name.clone() };
    told::act(app, &hub, &targets, &[(args.name.clone(), call)], |_| "tagged".to_owned()).await
}

pub(super) async fn rmi(app: &App, args: &RmiArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let targets = hub.resolve(&args.selector).await?;
    let what = format!("remove {}", args.images.join(", "));
    told::confirm(app, args.yes, &targets, &what).await?;
    let acts: Vec<_> = args
        .images
        .iter()
        .map(|image| {
            let (force, keep_parents) = (args.force, args.no_prune);
            (image.clone(), Remove { image: image.clone(), force, keep_parents })
        })
        .collect();
    let words = |removed: Removed| {
        format!("{} untagged, {} deleted", removed.untagged.len(), removed.deleted.len())
    };
    told::act(app, &hub, &targets, &acts, words).await
}

pub(super) async fn image_verb(app: &App, args: &ImageArgs) -> Result<Exit, Failure> {
    match &args.act {
        Act::Inspect(args) => {
            let call = Inspect { image: args.image.clone() };
            told::inspect(app, &args.host, &args.image, &call).await
        }
        Act::Cp(args) => archives::cp(app, args).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_of_an_image_is_a_row_and_the_fields_are_dockers() {
        let image = Image {
            id: "sha256:abc".into(),
            tags: vec!["localhost:5000/web:1".into(), "web:latest".into()],
            digests: vec!["localhost:5000/web@sha256:d".into()],
            size: 7,
            ..Image::default()
        };
        let rows = rows("h", &image);
        let names: Vec<_> = rows
            .iter()
            .map(|r| (r.repository.as_str(), r.tag.as_str(), r.digest.as_str()))
            .collect();
        assert_eq!(names, [("localhost:5000/web", "1", "sha256:d"), ("web", "latest", "")]);
        let value = serde_json::to_value(&rows[0]).unwrap();
        for field in
            ["Host", "ID", "Repository", "Tag", "Digest", "CreatedAt", "CreatedSince", "Size"]
        {
            assert!(value.get(field).is_some(), "{field}");
        }
    }

    #[test]
    fn an_image_without_a_name_is_a_row_too() {
        let rows = rows("h", &Image { id: "sha256:abc".into(), ..Image::default() });
        assert_eq!((rows.len(), rows[0].repository.as_str(), rows[0].tag.as_str()), (1, "", ""));
    }
}
