//! The containers of a project beside what it shall be: what bringing it up would do, service by service. The compose
//! program says by which words it tells services apart; the engine says what there is.

use crate::Agent;
use crate::services::containers::of_project;
use cmdr_protocol::compose::{Looked, Member, NOTHING_OF, Service, Will};
use cmdr_protocol::containers::Container;
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::images::check_image;
use cmdr_protocol::{CallError, ErrorKind};
use serde_json::Value;
use std::collections::BTreeMap;

const HASH: &str = "com.docker.compose.config-hash";
const ONCE: &str = "com.docker.compose.oneoff";
const IMAGE: &str = "com.docker.compose.image";
/// Services that are told.
const MOST: usize = 1000;

/// What a file wants of a service.
struct Wanted<'a> {
    image: &'a str,
    count: u32,
    hash: &'a str,
    /// The id of its image on this host; empty when it is not there.
    image_id: String,
}

/// All containers by their service, without those that were run once beside it.
async fn by_service(
    agent: &Agent,
    project: &str,
) -> Result<BTreeMap<String, Vec<Container>>, CallError> {
    let mut services: BTreeMap<String, Vec<Container>> = BTreeMap::new();
    for container in of_project(agent, project).await? {
        let once = container.labels.get(ONCE).is_some_and(|once| once.eq_ignore_ascii_case("true"));
        if !once {
            services.entry(container.service().to_owned()).or_default().push(container);
        }
    }
    Ok(services)
}

/// A project that this host was not told of: what there is of it.
pub(super) async fn foreign(agent: &Agent, project: &str) -> Result<Looked, CallError> {
    let there = by_service(agent, project).await?;
    if there.is_empty() {
        return Err(CallError::new(
            ErrorKind::NotFound,
            format!("{NOTHING_OF} {project}; cmdr docker compose up brings it up"),
        ));
    }
    let service = |(name, containers): (String, Vec<Container>)| Service {
        why: "somebody else has brought it up".to_owned(),
        ..shown(&name, containers)
    };
    let services = there.into_iter().take(MOST).map(service).collect();
    Ok(Looked { project: project.to_owned(), services, ..Looked::default() })
}

/// A project that shall be as `value` says.
pub(super) async fn at(
    agent: &Agent,
    project: &str,
    value: &Value,
    hashes: &BTreeMap<String, String>,
) -> Result<Looked, CallError> {
    let mut there = by_service(agent, project).await?;
    let engine = agent.engine().await?;
    let mut services = Vec::new();
    let wanted = value.get("services").and_then(Value::as_object);
    for (name, service) in wanted.into_iter().flatten().take(MOST) {
        let image = service.get("image").and_then(Value::as_str).unwrap_or_default();
        // One that is not there is brought first; what is no name would be another question.
        let id = match check_image(image) {
            Ok(()) => engine.inspect_image(image).await.ok().and_then(|found| found.id),
            Err(_) => None,
        };
        let id = id.unwrap_or_default();
        let hash = hashes.get(name).map_or("", String::as_str);
        let wanted = Wanted { image, count: count(service), hash, image_id: id };
        services.push(compare(name, &wanted, there.remove(name).unwrap_or_default()));
    }
    let room = MOST - services.len();
    services.extend(there.into_iter().take(room).map(|(name, containers)| Service {
        will: Will::Remove,
        why: "the file has no such service".to_owned(),
        ..shown(&name, containers)
    }));
    Ok(Looked { project: project.to_owned(), services, ..Looked::default() })
}

/// How many containers a service shall have.
fn count(service: &Value) -> u32 {
    let number = service.get("scale").or_else(|| service.pointer("/deploy/replicas"));
    number.and_then(Value::as_u64).map_or(1, |n| u32::try_from(n).unwrap_or(u32::MAX))
}

fn shown(name: &str, mut containers: Vec<Container>) -> Service {
    containers.sort_by(|a, b| a.name.cmp(&b.name));
    let member = |of: Container| Member {
        id: of.id,
        name: of.name,
        state: of.state,
        status: of.status,
        exit_code: of.exit_code,
    };
    Service {
        name: clean_to_width(name, 80),
        containers: containers.into_iter().map(member).collect(),
        ..Service::default()
    }
}

fn compare(name: &str, wanted: &Wanted<'_>, containers: Vec<Container>) -> Service {
    let there = containers.len();
    let other = |label: &str, shall: &str, has: &Container| {
        has.labels.get(label).is_none_or(|value| value != shall)
    };
    let changed = containers.iter().any(|has| other(HASH, wanted.hash, has));
    // Older programs do not write down what the image was; then the engine says it.
    let replaced = containers.iter().any(|has| {
        let of = has.labels.get(IMAGE).unwrap_or(&has.image_id);
        !wanted.image_id.is_empty() && *of != wanted.image_id
    });
    let lying = containers.iter().filter(|has| !has.state.runs()).count();
    let image = clean_to_width(wanted.image, 200);
    let (will, why) = if there == 0 && wanted.count > 0 {
        (Will::Create, "there is no container of it".to_owned())
    } else if changed {
        (Will::Recreate, "its settings are others".to_owned())
    } else if replaced {
        (Will::Recreate, format!("{image} is another image now"))
    } else if there != wanted.count as usize {
        (Will::Scale, format!("{there} containers, and {} are wanted", wanted.count))
    } else if lying > 0 {
        (Will::Start, format!("{lying} of {there} does not run"))
    } else {
        (Will::Leave, String::new())
    };
    Service { image, wanted: wanted.count, will, why, ..shown(name, containers) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::containers::State;
    use serde_json::json;

    fn container(hash: &str, image_id: &str, state: State) -> Container {
        let labels = [(HASH.to_owned(), hash.to_owned())].into();
        Container { state, labels, image_id: image_id.to_owned(), ..Container::default() }
    }

    fn will(containers: Vec<Container>, count: u32) -> Will {
        let wanted = Wanted { image: "x", count, hash: "a", image_id: "1".into() };
        compare("web", &wanted, containers).will
    }

    #[test]
    fn each_difference_has_its_act_and_none_has_none() {
        let good = || container("a", "1", State::Running);
        assert_eq!(will(vec![], 1), Will::Create);
        assert_eq!(will(vec![], 0), Will::Leave);
        assert_eq!(will(vec![good()], 1), Will::Leave);
        assert_eq!(will(vec![container("b", "1", State::Running)], 1), Will::Recreate);
        assert_eq!(will(vec![container("a", "2", State::Running)], 1), Will::Recreate);
        assert_eq!(will(vec![Container { labels: BTreeMap::new(), ..good() }], 1), Will::Recreate);
        assert_eq!(will(vec![good(), good()], 1), Will::Scale);
        assert_eq!(will(vec![good(), container("a", "1", State::Exited)], 2), Will::Start);
    }

    #[test]
    fn what_the_program_wrote_down_of_the_image_counts_before_what_the_engine_says() {
        let mut one = container("a", "another name for it", State::Running);
        one.labels.insert(IMAGE.to_owned(), "1".to_owned());
        assert_eq!(will(vec![one], 1), Will::Leave);
    }

    #[test]
    fn how_many_is_read_as_either_program_writes_it() {
        assert_eq!(count(&json!({})), 1);
        assert_eq!(count(&json!({"scale": 2})), 2);
        assert_eq!(count(&json!({"deploy": {"replicas": 3}})), 3);
    }
}
