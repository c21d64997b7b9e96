//! Images as rows.

use super::Store;
use super::engines::{Engines, Newer};
use super::lists::{Listed, number};
use super::sheets::{Record, Target, Value};
use crate::theme::Role;
use cmdr_protocol::HostId;
use cmdr_protocol::display::clean;
use cmdr_protocol::images::{Image, Watch};

/// Where it stands in a row whether there is something newer.
const NEWER: usize = 6;

impl Listed for Watch {
    type Row = Image;

    fn record(host: HostId, on: &str, image: &Image) -> Record {
        let short = short(&image.id);
        let lost = image.digests.first().and_then(|digest| digest.split_once('@'));
        let name = match (image.tags.is_empty(), lost) {
            (false, _) => Value::text(&image.tags.join(", "), Role::Strong),
            (true, Some((name, _))) => Value::text(&format!("{name}:<none>"), Role::Soft),
            (true, None) => Value::text("<none>", Role::Soft),
        };
        let mut more = vec![("images.more.id", image.id.clone())];
        more.extend(image.digests.iter().map(|digest| ("images.more.digest", digest.clone())));
        let labels = image.labels.iter().take(100);
        more.extend(labels.map(|(key, value)| ("images.more.label", format!("{key}={value}"))));
        Record {
            id: number::<Image>(host, &image.id),
            host,
            values: vec![
                Value::text(on, Role::Accent),
                name,
                Value::soft(short),
                Value::Moment(u64::try_from(image.created_s).unwrap_or(0)),
                Value::bytes(Some(image.size)),
                users(&image.used_by, image.users),
                Value::soft(""),
            ],
            more: more.into_iter().map(|(key, text)| (key, clean(&text).into_owned())).collect(),
            target: Target::Image { id: image.id.clone(), tags: image.tags.clone() },
        }
    }

    fn beside(store: &Store, row: &mut Record) {
        newer(&store.engines, row);
    }
}

/// The beginning of an id, as people know it.
pub fn short(id: &str) -> &str {
    let short = id.strip_prefix("sha256:").unwrap_or(id);
    short.get(..12).unwrap_or(short)
}

/// Who uses something: the first ones by name, and how many more.
pub fn users(names: &[String], count: u32) -> Value {
    let more = (count as usize).saturating_sub(names.len());
    let names = names.join(", ");
    match (count, more) {
        (0, _) => Value::text("-", Role::Faint),
        (_, 0) => Value::text(&names, Role::Text),
        _ => Value::text(&format!("{names} +{more}"), Role::Text),
    }
}

/// Shows whether registries have something newer for any of its names.
pub fn newer(engines: &Engines, row: &mut Record) {
    let Target::Image { tags, .. } = &row.target else { return };
    let found: Vec<_> = tags.iter().filter_map(|tag| engines.newer(row.host, tag)).collect();
    let shown = if found.contains(&&Newer::Yes) {
        Value::Word("images.newer.yes", Role::Warn)
    } else if found.contains(&&Newer::No) {
        Value::Word("images.newer.no", Role::Ok)
    } else if found.is_empty() {
        Value::soft("")
    } else {
        Value::Word("images.newer.unknown", Role::Soft)
    };
    if let Some(value) = row.values.get_mut(NEWER) {
        *value = shown;
    }
}
