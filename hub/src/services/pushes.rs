//! Rules of who is told when a run is over.

use super::{HubService, busy};
use crate::outbox;
use crate::records::push_rule_key;
use crate::server::Hub;
use crate::store::Batch;
use cmdr_link::service::Asked;
use cmdr_protocol::pushes::{
    Delete, Form, List, Listing, MAX_RULES, Put, Replaced, Rule, Test, Tested, When,
};
use cmdr_protocol::selector::Selector;
use cmdr_protocol::{CallError, Revoked, secrets, selector};
use std::sync::Arc;

pub(super) fn register(service: HubService) -> HubService {
    service.on(list).on(put).on(delete).on(test)
}

fn rules(hub: &Hub) -> Result<Vec<Rule>, CallError> {
    let found = hub.store.scan::<Rule>(crate::records::prefix::PUSH_RULE).map_err(busy)?;
    Ok(found.into_iter().flatten().map(|(_, rule)| rule).collect())
}

async fn list(hub: Arc<Hub>, _: Asked, _: List) -> Result<Listing, CallError> {
    Ok(Listing { rules: rules(&hub)?, posts: hub.outbox.posts() })
}

fn check(rule: &Rule) -> Result<(), CallError> {
    let wrong = |what: &str| Err(CallError::malformed(what));
    selector::check_name(&rule.name).map_err(CallError::malformed)?;
    if rule.name.len() > 64 {
        return wrong("the name of a rule has at most 64 characters");
    }
    for name in [&rule.url_secret, &rule.signing_secret].into_iter().filter(|n| !n.is_empty()) {
        secrets::check_name(name).map_err(CallError::malformed)?;
    }
    if rule.url_secret.is_empty() {
        return wrong(
            "a rule names the secret that holds the address to post to; put it first: cmdr secrets put NAME",
        );
    }
    match rule.form {
        Form::Slack if !rule.signing_secret.is_empty() => {
            return wrong("a message for Slack is not signed; leave the signing secret out");
        }
        Form::Webhook if rule.signing_secret.is_empty() => {
            return wrong("what is posted to a webhook is signed; name the secret for it");
        }
        Form::Unknown => return wrong("the form is slack or webhook"),
        Form::Slack | Form::Webhook => {}
    }
    if rule.when == When::Unknown {
        return wrong("a rule holds always or for failed runs");
    }
    Selector::parse(&rule.hosts).map_err(|e| CallError::malformed(e.to_string()))?;
    Ok(())
}

async fn put(hub: Arc<Hub>, asked: Asked, put: Put) -> Result<Replaced, CallError> {
    check(&put.rule)?;
    let known = rules(&hub)?;
    let replaced = known.iter().any(|rule| rule.name == put.rule.name);
    if !replaced && known.len() >= MAX_RULES {
        return Err(busy(format!("there are {MAX_RULES} rules already; delete some first")));
    }
    let batch = Batch::new().put(push_rule_key(&put.rule.name), &put.rule);
    hub.store.apply(batch).await.map_err(busy)?;
    tracing::info!(
        rule = put.rule.name,
        by = asked.caller.map(|c| c.name),
        "a rule for pushes was put"
    );
    Ok(Replaced { replaced })
}

fn find(hub: &Hub, name: &str) -> Result<Rule, CallError> {
    let found = hub.store.get::<Rule>(&push_rule_key(name)).map_err(busy)?;
    found.ok_or_else(|| {
        let shown = cmdr_protocol::display::clean_to_width(name, 64);
        CallError::not_found(format!("there is no rule '{shown}'; cmdr pushes lists them"))
    })
}

async fn delete(hub: Arc<Hub>, asked: Asked, delete: Delete) -> Result<Revoked, CallError> {
    find(&hub, &delete.name)?;
    hub.store.apply(Batch::new().delete(push_rule_key(&delete.name))).await.map_err(busy)?;
    hub.outbox.forget(&delete.name).await.map_err(busy)?;
    tracing::info!(
        rule = delete.name,
        by = asked.caller.map(|c| c.name),
        "a rule for pushes was deleted"
    );
    Ok(Revoked::default())
}

async fn test(hub: Arc<Hub>, _: Asked, test: Test) -> Result<Tested, CallError> {
    let rule = find(&hub, &test.name)?;
    Ok(Tested { status: outbox::test(&hub, &rule).await? })
}
