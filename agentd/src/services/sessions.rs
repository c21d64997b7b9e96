//! Interactive terminals, each kept by a process of its own (see [`crate::holder`]), so that they outlive
//! this one.
//!
//! `order` decides what is begun, `known` finds the holders and knows how each session stands. Keys and
//! output go between a holder's socket and the link as they are.

mod known;
pub(super) mod order;

pub use known::Sessions;

use crate::Agent;
use crate::holder::wire;
use cmdr_link::local::{Reader, Writer};
use cmdr_link::service::{Asked, Feeding, Service};
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::sessions::{
    Attach, Begun, End, EndAny, Input, Item, Join, List, Listing, Mode, Open, Watch,
};
use cmdr_protocol::{CallError, Feed, Nothing};
use std::sync::Arc;

pub(super) fn register(service: Service<Agent>) -> Service<Agent> {
    service.feed(open).feed(attach).feed(join).on(end).on(end_any).on(list).feed(watch)
}

/// The operator who asks.
pub(super) fn operator(asked: &Asked) -> Result<String, CallError> {
    let operator = asked.caller.as_ref().map(|caller| caller.operator.clone());
    operator.filter(|operator| !operator.is_empty()).ok_or_else(|| {
        CallError::denied("a session belongs to an operator, and the hub did not say to whom; is it older than this agent?")
    })
}

/// Says once what happened.
pub(super) fn note(asked: &Asked, what: &str, id: &str, result: &Result<(), CallError>) {
    let caller = asked.caller.as_ref().map_or("", |caller| caller.name.as_str());
    let caller = clean_to_width(caller, 64);
    let (trace, id) = (asked.trace, clean_to_width(id, 16));
    let outcome = result.as_ref().map_or_else(ToString::to_string, |()| "ok".to_owned());
    tracing::info!(caller, trace, session = id, outcome, "session {what}");
}

async fn open(
    agent: Arc<Agent>,
    asked: Asked,
    open: Open,
    feeding: Feeding<Open>,
) -> Result<(), CallError> {
    let (size, detached) = (open.size, open.detached);
    let operator = operator(&asked)?;
    let begun = agent.sessions().begin(&agent, open, operator.clone()).await;
    note(
        &asked,
        "opened",
        begun.as_deref().unwrap_or(""),
        &begun.as_ref().map(drop).map_err(CallError::clone),
    );
    let id = begun?;
    if detached {
        let begun = Begun { id, client: 0, mode: Mode::Watch };
        return feeding.send(&Item { begun: Some(begun), ..Item::default() }).await;
    }
    let who = wire::Attach { operator, mode: Mode::Drive, size, only_watch: false, new: true };
    let held = agent.sessions().attach(&id, who).await?;
    carry(held, feeding).await
}

async fn attach(
    agent: Arc<Agent>,
    asked: Asked,
    attach: Attach,
    feeding: Feeding<Attach>,
) -> Result<(), CallError> {
    let Attach { id, mode, size, opened } = attach;
    let held = async {
        let operator = operator(&asked)?;
        agent.sessions().owned_by(&id, &operator).await?;
        agent.sessions().opened_as(&id, &opened)?;
        let mode = asked_for(mode)?;
        let who = wire::Attach { operator, mode, size, only_watch: false, new: false };
        agent.sessions().attach(&id, who).await
    };
    let held = held.await;
    note(&asked, "attached", &id, &held.as_ref().map(drop).map_err(CallError::clone));
    carry(held?, feeding).await
}

async fn join(
    agent: Arc<Agent>,
    asked: Asked,
    join: Join,
    feeding: Feeding<Join>,
) -> Result<(), CallError> {
    let Join { id, mode, size } = join;
    let held = async {
        let mode = asked_for(mode)?;
        let only_watch = mode == Mode::Watch;
        let who = wire::Attach { operator: operator(&asked)?, mode, size, only_watch, new: false };
        agent.sessions().attach(&id, who).await
    };
    let held = held.await;
    note(&asked, "joined", &id, &held.as_ref().map(drop).map_err(CallError::clone));
    carry(held?, feeding).await
}

fn asked_for(mode: Mode) -> Result<Mode, CallError> {
    match mode {
        Mode::Drive | Mode::Watch => Ok(mode),
        Mode::Unknown => {
            Err(CallError::malformed("one attaches to a session to 'drive' or to 'watch' it"))
        }
    }
}

/// Carries items and inputs until either side has enough.
pub(super) async fn carry<F: Feed<Item = Item, Input = Input>>(
    (mut reader, mut writer): (Reader, Writer),
    mut feeding: Feeding<F>,
) -> Result<(), CallError> {
    let sender = feeding.sender();
    let back = async {
        while let Some(item) = reader.next::<Item>().await? {
            sender.send(&item).await?;
        }
        Ok(())
    };
    let forth = async {
        loop {
            let input = feeding.input().await?;
            if writer.send(&input).await.is_err() {
                // What comes back says why.
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        result = back => result,
        result = forth => result,
    }
}

async fn end(agent: Arc<Agent>, asked: Asked, call: End) -> Result<Nothing, CallError> {
    let ended = async {
        agent.sessions().owned_by(&call.id, &operator(&asked)?).await?;
        agent.sessions().end(&call.id).await
    };
    let ended = ended.await;
    note(&asked, "ended", &call.id, &ended);
    ended.map(|()| Nothing {})
}

async fn end_any(agent: Arc<Agent>, asked: Asked, call: EndAny) -> Result<Nothing, CallError> {
    let ended = agent.sessions().end(&call.id).await;
    note(&asked, "ended", &call.id, &ended);
    ended.map(|()| Nothing {})
}

async fn list(agent: Arc<Agent>, _: Asked, _: List) -> Result<Listing, CallError> {
    Ok(agent.sessions().listing().await)
}

async fn watch(
    agent: Arc<Agent>,
    _: Asked,
    _: Watch,
    feeding: Feeding<Watch>,
) -> Result<(), CallError> {
    let mut changes = agent.sessions().changes();
    loop {
        changes.mark_unchanged();
        feeding.send(&agent.sessions().listing().await).await?;
        if changes.changed().await.is_err() {
            return Ok(());
        }
    }
}
