//! A table of the Docker engine that is followed ([`crate::live`]): read, and read again when the engine says that
//! something happened. `images`, `volumes` and `networks` use it. Nothing is asked for while nothing happens.

use crate::Agent;
use crate::engine::{Engine, told};
use crate::live::{Live, Teller, Watcher};
use bollard::query_parameters::EventsOptions;
use cmdr_link::clock;
use cmdr_protocol::CallError;
use cmdr_protocol::images::Image;
use cmdr_protocol::networks::Network;
use cmdr_protocol::table::Row;
use cmdr_protocol::volumes::Volume;
use futures::StreamExt as _;
use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;
use tokio::time::timeout;

/// What happens within so long is told at once.
const TOGETHER: Duration = Duration::from_millis(100);
/// So many events are taken together, however quickly they come.
const MOST: usize = 500;
/// Events that happened so long before are told again, so that none is missed between the first look and the first
/// event.
const BEFORE_S: u64 = 2;

/// What changes tables. Programs that are started in containers and looks at their health are events, too, and there
/// may be many each second.
const ACTS: [&str; 17] = [
    "create",
    "destroy",
    "rename",
    "commit",
    "remove",
    "prune",
    "pull",
    "push",
    "tag",
    "untag",
    "delete",
    "import",
    "load",
    "mount",
    "unmount",
    "connect",
    "disconnect",
];

/// The tables of the engine that are read whole.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    pub(crate) images: Live<Vec<Image>>,
    pub(crate) volumes: Live<Vec<Volume>>,
    pub(crate) networks: Live<Vec<Network>>,
}

/// Follows what `read` finds, anew whenever one of these kinds of things has an event.
pub(crate) fn watch<R, Fut>(
    agent: &Agent,
    table: &Live<Vec<R>>,
    attempted: &'static str,
    kinds: &'static [&'static str],
    read: fn(Engine) -> Fut,
) -> Watcher<Vec<R>>
where
    R: Row + Send + Sync + 'static,
    Fut: Future<Output = Result<Vec<R>, CallError>> + Send + 'static,
{
    let agent = agent.clone();
    table.watch(move |teller| async move {
        let error = match agent.engine().await {
            Ok(engine) => follow(&engine, attempted, kinds, read, &teller).await,
            Err(error) => Err(error),
        };
        let Err(error) = error;
        (teller, error)
    })
}

/// Goes on until it cannot.
async fn follow<R, Fut>(
    engine: &Engine,
    attempted: &str,
    kinds: &[&str],
    read: fn(Engine) -> Fut,
    teller: &Teller<Vec<R>>,
) -> Result<Infallible, CallError>
where
    R: Row,
    Fut: Future<Output = Result<Vec<R>, CallError>>,
{
    let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let since = (clock::now_ms() / 1000).saturating_sub(BEFORE_S);
    let options = EventsOptions {
        since: Some(since.to_string()),
        until: None,
        filters: Some(HashMap::from([
            ("type".to_owned(), owned(kinds)),
            ("event".to_owned(), owned(&ACTS)),
        ])),
    };
    let mut events = pin!(engine.events(Some(options)));
    loop {
        let mut newest = read(engine.clone()).await?;
        newest.sort_by_key(Row::key);
        teller.tell(newest);
        let mut event = events.next().await;
        for _ in 0..MOST {
            match event {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(told(attempted, &error)),
                None => {
                    let what = "the Docker engine was stopped, or its link was cut";
                    return Err(CallError::lost(format!("{attempted}: {what}")));
                }
            }
            match timeout(TOGETHER, events.next()).await {
                Ok(next) => event = next,
                Err(_) => break,
            }
        }
    }
}
