//! What the engine says of its images, in our words.

use super::users::{Container, Users, containers};
use super::{KNOWN, shaped};
use crate::engine::Engine;
use crate::services::environment::is_secret;
use cmdr_protocol::CallError;
use cmdr_protocol::images::{Image, Step};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Summary {
    id: String,
    repo_tags: Option<Vec<String>>,
    repo_digests: Option<Vec<String>>,
    created: i64,
    size: i64,
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Made {
    id: String,
    created: i64,
    created_by: String,
    size: i64,
    tags: Option<Vec<String>>,
    comment: String,
}

/// All images with who uses them.
pub(super) async fn all(engine: &Engine, layers: bool) -> Result<Vec<Image>, CallError> {
    let attempted = "list the images";
    let path = format!("/images/json?all={}", u8::from(layers));
    let found = engine.get_in(KNOWN, attempted, &path).await?;
    let found: Option<Vec<Summary>> = shaped(attempted, found)?;
    let containers = containers(engine, attempted).await?;
    let mut users = Users::of(&containers, Container::image);
    Ok(found.into_iter().flatten().map(|summary| image(summary, &mut users)).collect())
}

/// Whether a name begins with a registry's address, as engines tell it from a folder.
fn of_registry(name: &str) -> bool {
    name.split_once('/')
        .is_some_and(|(first, _)| first.contains(['.', ':']) || first == "localhost")
}

fn image(summary: Summary, users: &mut Users<'_>) -> Image {
    let named = |names: Option<Vec<String>>| {
        let names = names.into_iter().flatten();
        names.filter(|name| !name.starts_with("<none>")).collect::<Vec<_>>()
    };
    let (used_by, count) = users.take(&summary.id);
    let mut tags = named(summary.repo_tags);
    // The first is shown and taken for the image: one of no registry of its own before others, the shortest before longer ones.
    tags.sort_by_cached_key(|tag| (of_registry(tag), tag.len(), tag.clone()));
    Image {
        tags,
        digests: named(summary.repo_digests),
        created_s: summary.created,
        size: u64::try_from(summary.size).unwrap_or(0),
        labels: summary.labels.unwrap_or_default(),
        used_by,
        users: count,
        id: summary.id,
    }
}

/// How an image was made.
pub(super) async fn history(engine: &Engine, image: &str) -> Result<Vec<Step>, CallError> {
    let attempted = format!("show the history of {image}");
    let found = engine.get_in(KNOWN, &attempted, &format!("/images/{image}/history")).await?;
    let found: Option<Vec<Made>> = shaped(&attempted, found)?;
    let step = |made: Made| Step {
        id: made.id,
        created_s: made.created,
        by: hide(&made.created_by),
        size: u64::try_from(made.size).unwrap_or(0),
        tags: made.tags.unwrap_or_default(),
        comment: made.comment,
    };
    Ok(found.into_iter().flatten().map(step).collect())
}

/// A step without what looks like a secret among the variables that it names. What follows such a value up to the next
/// variable may be of it.
pub(super) fn hide(step: &str) -> String {
    let (mut words, mut hidden) = (Vec::new(), false);
    let sets = step.contains("ENV ") || step.contains("ARG ");
    for word in step.split(' ') {
        match word.split_once('=') {
            Some((name, value)) if is_secret(name, value) => {
                words.push(format!("{name}=***"));
                hidden = sets;
            }
            None if hidden => {}
            _ => {
                words.push(word.to_owned());
                hidden = false;
            }
        }
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_older_engine_writes_for_no_name_is_no_name() {
        let text = r#"{"Id":"sha256:a","RepoTags":["<none>:<none>"],"RepoDigests":null,"Created":5,
                       "Size":-1,"Labels":null,"Containers":-1}"#;
        let summary: Summary = serde_json::from_str(text).unwrap();
        let image = image(summary, &mut Users::default());
        assert!(image.tags.is_empty() && image.digests.is_empty());
        assert_eq!((image.created_s, image.size, image.users), (5, 0, 0));
    }

    #[test]
    fn an_image_is_called_by_its_plainest_name_first() {
        let text = r#"{"Id":"sha256:a","RepoTags":["127.0.0.1:5000/a:1","shop/web:1.27","web:1"],
                       "RepoDigests":null,"Created":5,"Size":1,"Labels":null,"Containers":-1}"#;
        let summary: Summary = serde_json::from_str(text).unwrap();
        let image = image(summary, &mut Users::default());
        assert_eq!(image.tags, ["web:1", "shop/web:1.27", "127.0.0.1:5000/a:1"]);
    }

    #[test]
    fn a_step_shows_no_secret() {
        let step = "/bin/sh -c #(nop)  ENV DB_PASSWORD=can ary PORT=80";
        assert_eq!(hide(step), "/bin/sh -c #(nop)  ENV DB_PASSWORD=*** PORT=80");
        assert_eq!(hide("|1 TOKEN=canary /bin/sh -c make"), "|1 TOKEN=*** /bin/sh -c make");
        assert_eq!(hide("COPY a  b"), "COPY a  b");
    }
}
