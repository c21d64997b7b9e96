//! Containers of the host's Docker engine: which there are, kept live from the engine's events, what they are, and acts
//! on them. Logs and sessions inside are `logs` and `sessions`.

mod act;
mod archive;
mod body;
mod change;
mod create;
mod halfway;
mod likeness;
mod live;
mod look;
mod powers;
mod recreate;
mod rows;
mod stats;
mod taken;

pub(crate) use halfway::resume;
pub use live::Live;
pub(super) use live::watch as watch_all;
pub use stats::Sampled;

use crate::Agent;
use crate::engine::told;
use crate::sifted::Sifted;
use act::Verb;
use bollard::query_parameters::ListContainersOptions;
use cmdr_link::service::{Asked, Feeding, Service};
use cmdr_protocol::CallError;
use cmdr_protocol::containers::{
    Container, Create, CreatePrivileged, Done, Kill, List, Listing, Pause, Remove, Rename, Restart,
    Start, Stop, Unpause, Watch, is_name, status,
};
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::table::Row as _;
use std::collections::HashMap;
use std::sync::Arc;

/// A reply must stay under the largest frame.
const REPLY: usize = 700 * 1024;

pub(super) fn register(service: Service<Agent>) -> Service<Agent> {
    service
        .on(list)
        .feed(watch)
        .on(look::inspect)
        .on(look::values)
        .on(look::top)
        .on(look::diff)
        .on(likeness::like)
        .feed(stats::stats)
        .on(change::update)
        .on(change::commit)
        .on(recreate::recreate)
        .feed(archive::export)
        .feed(archive::copy_out)
        .feed(archive::copy_in)
        .on(|agent, asked, call: Start| act(agent, asked, call.container, Verb::Start))
        .on(|agent, asked, call: Stop| {
            let verb = Verb::Stop { timeout_s: call.timeout_s, signal: call.signal };
            act(agent, asked, call.container, verb)
        })
        .on(|agent, asked, call: Restart| {
            let verb = Verb::Restart { timeout_s: call.timeout_s, signal: call.signal };
            act(agent, asked, call.container, verb)
        })
        .on(|agent, asked, call: Pause| act(agent, asked, call.container, Verb::Pause))
        .on(|agent, asked, call: Unpause| act(agent, asked, call.container, Verb::Unpause))
        .on(|agent, asked, call: Kill| {
            act(agent, asked, call.container, Verb::Kill { signal: call.signal })
        })
        .on(|agent, asked, call: Rename| {
            act(agent, asked, call.container, Verb::Rename { name: call.name })
        })
        .on(|agent, asked, call: Remove| {
            let verb = Verb::Remove { force: call.force, volumes: call.volumes };
            act(agent, asked, call.container, verb)
        })
        .on(|agent, asked, call: Create| create::plain(agent, asked, call.spec, call.start))
        .on(|agent, asked, call: CreatePrivileged| {
            create::privileged(agent, asked, call.spec, call.start)
        })
}

/// Whether this names a container. The engine would make a path of others.
fn check(container: &str) -> Result<(), CallError> {
    if is_name(container) {
        return Ok(());
    }
    Err(CallError::malformed(format!(
        "'{}' is neither the name nor the id of a container",
        clean_to_width(container, 80)
    )))
}

/// Who asks, for the agent's own log.
fn caller(asked: &Asked) -> String {
    clean_to_width(asked.caller.as_ref().map_or("", |caller| caller.name.as_str()), 64)
}

async fn list(agent: Arc<Agent>, _: Asked, list: List) -> Result<Listing, CallError> {
    let sifted = Sifted::new(&list.sift)?;
    let engine = agent.engine().await?;
    let filters: HashMap<_, _> = list.filters.into_iter().collect();
    let options = ListContainersOptions {
        all: list.all,
        size: list.size,
        filters: (!filters.is_empty()).then_some(filters),
        ..ListContainersOptions::default()
    };
    let answer = engine.list_containers(Some(options)).await;
    let answer = answer.map_err(|error| told("list the containers", &error))?;
    let now_s = rows::now_s();
    let mut rows: Vec<Container> = answer
        .into_iter()
        .map(|summary| rows::row(summary, now_s))
        .filter(|row| keeps(&sifted, row, now_s))
        .collect();
    rows.sort_by(|a, b| b.created_s.cmp(&a.created_s).then_with(|| a.name.cmp(&b.name)));
    Ok(listing(rows, list.limit))
}

/// All containers of a compose project, also those that do not run.
pub(super) async fn of_project(agent: &Agent, project: &str) -> Result<Vec<Container>, CallError> {
    let engine = agent.engine().await?;
    let label = format!("com.docker.compose.project={project}");
    let options = ListContainersOptions {
        all: true,
        filters: Some(HashMap::from([("label".to_owned(), vec![label])])),
        ..ListContainersOptions::default()
    };
    let answer = engine.list_containers(Some(options)).await;
    let attempted = format!("list the containers of the project {project}");
    let answer = answer.map_err(|error| told(&attempted, &error))?;
    let now_s = rows::now_s();
    Ok(answer.into_iter().map(|summary| rows::row(summary, now_s)).collect())
}

fn keeps(sifted: &Sifted, row: &Container, now_s: u64) -> bool {
    let ports: Vec<String> = row.ports.iter().map(ToString::to_string).collect();
    let words = status::words(row, now_s);
    let (name, image, project) = (&*row.name, &*row.image, row.project());
    sifted.keeps(&[name, image, &words, &ports.join(" "), project, row.short_id(), &row.command])
}

/// As many as fit.
fn listing(mut rows: Vec<Container>, limit: u32) -> Listing {
    let most = if limit == 0 { usize::MAX } else { limit as usize };
    let mut room = REPLY;
    let fits = |row: &&Container| {
        room = room.saturating_sub(row.weight());
        room > 0
    };
    let keep = rows.iter().take(most).take_while(fits).count();
    let left_out = (rows.len() - keep) as u64;
    rows.truncate(keep);
    Listing { containers: rows, left_out, sifted: true }
}

async fn watch(
    agent: Arc<Agent>,
    _: Asked,
    _: Watch,
    feeding: Feeding<Watch>,
) -> Result<(), CallError> {
    live::watch(&agent).send(feeding).await
}

async fn act(
    agent: Arc<Agent>,
    asked: Asked,
    container: String,
    verb: Verb,
) -> Result<Done, CallError> {
    check(&container)?;
    let word = verb.word();
    let result = act::act(&agent, &container, verb).await;
    let outcome = result.as_ref().map_or_else(ToString::to_string, |done| done.state.to_string());
    tracing::info!(
        caller = caller(&asked),
        trace = asked.trace,
        container,
        outcome,
        "container: {word}"
    );
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::ErrorKind;
    use cmdr_protocol::sift::Sift;

    #[test]
    fn what_is_no_name_is_refused_before_the_engine_hears_of_it() {
        for bad in ["", "../images/json", "a?b=c", "a/b", "a%2fb"] {
            assert_eq!(check(bad).unwrap_err().kind, ErrorKind::Malformed, "{bad}");
        }
        check("web.1").unwrap();
    }

    #[test]
    fn a_listing_fits_into_an_answer_and_says_what_it_left_out() {
        let row = |n: usize| Container {
            id: format!("{n:064}"),
            labels: [("l".to_owned(), "x".repeat(3000))].into(),
            ..Container::default()
        };
        let all = listing((0..1000).map(row).collect(), 0);
        assert_eq!(all.containers.len() as u64 + all.left_out, 1000);
        let bytes = cmdr_link::codec::encode(&all).unwrap();
        assert!(bytes.len() < cmdr_link::frame::MAX_FRAME, "{}", bytes.len());
        assert_eq!(listing((0..9).map(row).collect(), 4).left_out, 5);
    }

    #[test]
    fn rows_are_looked_for_by_what_they_show() {
        let row = Container { name: "web".into(), image: "nginx:1".into(), ..Container::default() };
        let sift = |fits: &str| {
            Sifted::new(&Sift { fits: vec![fits.to_owned()], ..Sift::default() }).unwrap()
        };
        assert!(keeps(&sift("web nginx"), &row, 0) && !keeps(&sift("redis"), &row, 0));
    }
}
