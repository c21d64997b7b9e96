//! What was done, in words: `restarted nginx.service`, not `services.restart`.

use crate::i18n::Texts;
use crate::panes::Context;
use crate::panes::audit::columns::{host, verb};
use crate::store::audit::{Log, Standing};
use cmdr_protocol::Call as _;
use cmdr_protocol::audit::{Outcome, Record, Value};
use cmdr_protocol::display::clean;
use cmdr_protocol::runs::{Order, Start};

/// For each method the key of its sentence, and the fields of the request that are filled in.
const WORDS: &[(&str, &str, &[&str])] = &[
    ("exec.start", "done.exec", &["argv"]),
    ("files.read", "done.files_read", &["path"]),
    ("files.write", "done.files_write", &["path"]),
    ("files.mkdir", "done.files_mkdir", &["path"]),
    ("files.rename", "done.files_rename", &["from", "to"]),
    ("files.delete", "done.files_delete", &["path"]),
    ("files.chmod", "done.files_chmod", &["path"]),
    ("files.checksum", "done.files_checksum", &["path"]),
    ("files.archive", "done.files_archive", &["path"]),
    ("files.unpack", "done.files_unpack", &["path"]),
    ("files.copy", "done.files_copy", &["path", "target"]),
    ("edits.open", "done.edits_open", &["path"]),
    ("edits.save", "done.edits_save", &["path"]),
    ("edits.confirm", "done.edits_confirm", &["path"]),
    ("edits.revert", "done.edits_revert", &["path"]),
    ("edits.version", "done.edits_version", &["number", "path"]),
    ("edits.restore", "done.edits_restore", &["number", "path"]),
    ("environment.values", "done.environment_values", &[]),
    ("environment.set", "done.environment_set", &["name"]),
    ("environment.unset", "done.environment_unset", &["name"]),
    ("processes.signal", "done.signal", &["signal", "pid"]),
    ("processes.renice", "done.renice", &["pid", "nice"]),
    ("hosts.rename", "done.rename", &["host", "name"]),
    ("hosts.label", "done.label", &["host", "labels"]),
    ("hosts.forget", "done.forget", &["host"]),
    ("hosts.approve", "done.approve_host", &["host"]),
    ("hosts.reject", "done.reject_host", &["host"]),
    ("tokens.create", "done.token", &["kind"]),
    ("tokens.revoke", "done.token_revoke", &["id"]),
    ("operators.revoke", "done.operator_revoke", &["key"]),
    ("operators.unlock", "done.unlock", &["address"]),
    ("roles.put", "done.role", &["name"]),
    ("roles.delete", "done.role_delete", &["name"]),
    ("roles.assign", "done.assign", &["role", "operator"]),
    ("operators.create", "done.account", &["name"]),
    ("operators.update", "done.account_change", &["name"]),
    ("operators.delete", "done.account_delete", &["name"]),
    ("operators.set-password", "done.password", &["name"]),
    ("operators.change-password", "done.own_password", &[]),
    ("groups.put", "done.group", &["name"]),
    ("groups.delete", "done.group_delete", &["name"]),
    ("login.password", "done.login_password", &[]),
    ("login.logout", "done.logout", &[]),
    ("approvals.ask", "done.ask", &["wanted"]),
    ("approvals.decide", "done.decide", &["approve", "id"]),
    ("approvals.end", "done.end", &["id"]),
    ("engine.prune", "done.engine_prune", &[]),
    ("services.start", "done.services_start", &["unit"]),
    ("services.stop", "done.services_stop", &["unit"]),
    ("services.restart", "done.services_restart", &["unit"]),
    ("services.reload", "done.services_reload", &["unit"]),
    ("services.enable", "done.services_enable", &["unit"]),
    ("services.disable", "done.services_disable", &["unit"]),
    ("services.mask", "done.services_mask", &["unit"]),
    ("services.unmask", "done.services_unmask", &["unit"]),
    ("services.reset-failed", "done.services_reset", &["unit"]),
    ("sessions.open", "done.session_open", &["program"]),
    ("sessions.attach", "done.session_attach", &["id"]),
    ("sessions.join", "done.session_join", &["id"]),
    ("sessions.end", "done.session_end", &["id"]),
    ("sessions.end-any", "done.session_end", &["id"]),
    ("ssh.open", "done.ssh_open", &["machine"]),
    ("images.tag", "done.image_tag", &["image", "name"]),
    ("images.remove", "done.image_remove", &["image"]),
    ("images.pull", "done.image_pull", &["image"]),
    ("images.push", "done.image_push", &["image"]),
    ("images.load", "done.image_load", &[]),
    ("images.copy", "done.image_copy", &["image"]),
    ("volumes.create", "done.volume", &["volume"]),
    ("volumes.create-special", "done.volume", &["volume"]),
    ("volumes.remove", "done.volume_remove", &["volume"]),
    ("networks.create", "done.network", &["network"]),
    ("networks.remove", "done.network_remove", &["network"]),
    ("networks.connect", "done.network_connect", &["container", "network"]),
    ("networks.disconnect", "done.network_disconnect", &["container", "network"]),
    ("containers.start", "done.container_start", &["container"]),
    ("containers.stop", "done.container_stop", &["container"]),
    ("containers.restart", "done.container_restart", &["container"]),
    ("containers.pause", "done.container_pause", &["container"]),
    ("containers.unpause", "done.container_unpause", &["container"]),
    ("containers.kill", "done.container_kill", &["container", "signal"]),
    ("containers.rename", "done.container_rename", &["container", "name"]),
    ("containers.remove", "done.container_remove", &["container"]),
    ("containers.create", "done.container", &["spec"]),
    ("containers.create-privileged", "done.container_powers", &["spec"]),
    ("containers.update", "done.container_update", &["container"]),
    ("containers.recreate", "done.container_recreate", &["container"]),
    ("containers.commit", "done.container_commit", &["container", "image"]),
    ("containers.copy-in", "done.container_copy", &["container", "path"]),
    ("compose.check", "done.compose_check", &["project"]),
    ("compose.up", "done.compose_up", &["project"]),
    ("compose.up-privileged", "done.compose_powers", &["up"]),
    ("compose.stop", "done.compose_stop", &["project"]),
    ("compose.down", "done.compose_down", &["project"]),
    ("compose.save", "done.compose_save", &["name"]),
    ("compose.restore", "done.compose_restore", &["name", "version"]),
    ("compose.delete", "done.compose_delete", &["name"]),
    ("history.purge", "done.history_purge", &["selector"]),
    ("data.purge", "done.data_purge", &["kind"]),
    ("rules.save", "done.rule", &["name"]),
    ("rules.switch", "done.rule_switch", &["name"]),
    ("rules.delete", "done.rule_delete", &["name"]),
    ("alerts.acknowledge", "done.alert_ack", &[]),
    ("alerts.unacknowledge", "done.alert_unack", &[]),
    ("alerts.dismiss", "done.alert_dismiss", &[]),
    ("alerts.silence", "done.alert_silence", &["matcher"]),
    ("alerts.unsilence", "done.alert_unsilence", &["id"]),
    ("alerts.save-policies", "done.alert_policies", &[]),
    ("notifiers.save", "done.notifier", &["name"]),
    ("notifiers.delete", "done.notifier_delete", &["name"]),
    ("notifiers.test", "done.notifier_test", &["name"]),
    ("compose.deploy", "done.compose_up", &["name"]),
    ("registries.put", "done.registry", &["registry"]),
    ("registries.delete", "done.registry_delete", &["registry"]),
    ("registries.delete-tag", "done.registry_tag", &["repository", "tag", "registry"]),
    ("registries.pull", "done.image_pull", &["image"]),
    ("registries.push", "done.image_push", &["image"]),
    ("inside.open", "done.inside_open", &["container", "program"]),
    ("inside.exec", "done.inside_exec", &["container", "program"]),
    ("proxy.request", "done.proxy_request", &["method", "path"]),
    ("proxy.look", "done.proxy_request", &["method", "path"]),
    ("gateways.save", "done.gateway", &["name"]),
    ("gateways.delete", "done.gateway_delete", &["name"]),
    ("gateways.drain", "done.gateway_drain", &["name"]),
    ("gateways.weight", "done.gateway_weight", &["name"]),
    ("gateways.ban", "done.gateway_ban", &["name", "address"]),
    ("forwards.dial", "done.forward_dial", &["to"]),
    ("forwards.put", "done.forward_put", &["name"]),
    ("forwards.switch", "done.forward_switch", &["name", "to"]),
    ("forwards.stop", "done.forward_stop", &["name"]),
    ("forwards.resume", "done.forward_resume", &["name"]),
    ("forwards.cut", "done.forward_cut", &["name"]),
    ("forwards.delete", "done.forward_delete", &["name"]),
    ("ssh.trust", "done.ssh_trust", &["machine"]),
    ("ssh.forget", "done.ssh_forget", &["machine"]),
    ("recordings.put-rule", "done.recording_rule", &["rule"]),
    ("recordings.delete-rule", "done.recording_rule_delete", &["name"]),
    ("recordings.stop", "done.recording_stop", &["id"]),
    ("recordings.mark", "done.recording_mark", &["id"]),
    ("recordings.delete", "done.recording_delete", &["id"]),
    ("secrets.put", "done.secret", &["name"]),
    ("secrets.delete", "done.secret_delete", &["name"]),
    ("secrets.rotate", "done.secrets_rotate", &[]),
    ("keys.create", "done.key", &["name"]),
    ("keys.revoke", "done.key_revoke", &["key"]),
    ("totp.begin", "done.totp_begin", &[]),
    ("totp.confirm", "done.totp", &[]),
    ("totp.disable", "done.totp_disable", &[]),
    ("totp.reset", "done.totp_reset", &["name"]),
    ("hostkeys.rotate", "done.host_key", &["host"]),
    ("hostkeys.next", "done.host_key_next", &[]),
    ("hubkey.begin", "done.hub_key_begin", &[]),
    ("hubkey.switch", "done.hub_key_switch", &[]),
    ("hubkey.finish", "done.hub_key_finish", &[]),
    ("hubkey.abort", "done.hub_key_abort", &[]),
    ("runs.start", "done.run", &["order"]),
    ("runs.stop", "done.run_stop", &["run"]),
    ("runs.pause", "done.run_pause", &["run"]),
    ("runs.resume", "done.run_resume", &["run"]),
    ("runs.retry", "done.run_retry", &["run"]),
    ("runs.delete", "done.run_delete", &["run"]),
    ("runs.schedules.pause", "done.schedule_pause", &["name"]),
    ("runs.schedules.put", "done.schedule", &["schedule"]),
    ("runs.schedules.delete", "done.schedule_delete", &["name"]),
    ("runbooks.save", "done.book", &["name"]),
    ("runbooks.delete", "done.book_delete", &["name"]),
    ("runbooks.sign", "done.book_sign", &["name"]),
    ("configs.save", "done.config", &["name"]),
    ("configs.delete", "done.config_delete", &["name"]),
    ("probes.save", "done.probe", &["name"]),
    ("probes.delete", "done.probe_delete", &["name"]),
    ("probes.try", "done.probe_try", &["name"]),
    ("blobs.upload", "done.blob", &["hash"]),
    ("blobs.delete", "done.blob_delete", &["hash"]),
    ("pushes.put", "done.push_rule", &["rule"]),
    ("pushes.delete", "done.push_rule_delete", &["name"]),
    ("pushes.test", "done.push_rule_test", &["name"]),
    ("login.oidc", "done.login_browser", &[]),
    ("login.renew", "done.login_renew", &[]),
    ("login", "done.login", &[]),
    ("join", "done.join", &[]),
];

/// Names of the usual signals.
const SIGNALS: [(i64, &str); 10] = [
    (1, "HUP"),
    (2, "INT"),
    (3, "QUIT"),
    (9, "KILL"),
    (10, "USR1"),
    (12, "USR2"),
    (15, "TERM"),
    (18, "CONT"),
    (19, "STOP"),
    (28, "WINCH"),
];

/// A command line as people read it; what has blanks in it stands in quotes.
pub(super) fn command(body: &Value) -> String {
    let argv = match body.get("argv") {
        Some(Value::List(argv)) => argv.as_slice(),
        _ => &[],
    };
    let word = |value: &Value| match value {
        Value::Text(text) if text.is_empty() || text.contains(char::is_whitespace) => {
            format!("'{text}'")
        }
        other => other.to_string(),
    };
    let name = body.get("script").and_then(|script| script.get("name"));
    let name = name.map(ToString::to_string);
    name.into_iter().chain(argv.iter().map(word)).collect::<Vec<_>>().join(" ")
}

/// The order of a run, as lists of runs have it.
fn order(body: &Value) -> String {
    let order = body.get("order").and_then(|order| serde_json::to_value(order).ok());
    let order = order.and_then(|order| serde_json::from_value::<Order>(order).ok());
    order.map_or_else(String::new, |order| order.told())
}

/// What picked the hosts of a run.
pub(super) fn picked(record: &Record) -> Option<String> {
    let body = record.body.as_ref().filter(|_| record.method == Start::METHOD)?;
    Some(clean(&body.get("hosts")?.to_string()).into_owned())
}

fn labels(body: &Value) -> String {
    let mut words = Vec::new();
    if let Some(Value::Map(set)) = body.get("set") {
        words.extend(set.iter().map(|(name, value)| format!("{name}={value}")));
    }
    if let Some(Value::List(remove)) = body.get("remove") {
        words.extend(remove.iter().map(|name| format!("{name}-")));
    }
    words.join(" ")
}

fn field(context: &Context<'_>, record: &Record, body: &Value, name: &str) -> String {
    let plain = |name: &str| body.get(name).map_or_else(String::new, ToString::to_string);
    match name {
        "argv" => command(body),
        "labels" => labels(body),
        "host" => {
            let at_hand = host(record).or_else(|| plain("host").parse().ok());
            at_hand.map_or_else(|| plain("host"), |id| context.store.hosts.name(id))
        }
        "signal" => match body.get("signal") {
            Some(Value::Int(number)) => SIGNALS
                .iter()
                .find(|(known, _)| known == number)
                .map_or_else(|| number.to_string(), |(_, name)| (*name).to_owned()),
            _ => plain("signal"),
        },
        "wanted" => {
            let verbs = body.get("wanted").and_then(|wanted| wanted.get("verbs"));
            let verbs = verbs.map_or_else(String::new, ToString::to_string);
            verbs.trim_matches(['[', ']']).to_owned()
        }
        "program" => match command(body) {
            program if program.is_empty() => context.texts.get("shell.title").to_owned(),
            program => program,
        },
        "machine" => {
            let user = plain("user");
            let at = if user.is_empty() { "" } else { "@" };
            let port = Some(plain("port")).filter(|port| !matches!(port.as_str(), "" | "0" | "22"));
            let port = port.map_or_else(String::new, |port| format!(":{port}"));
            format!("{user}{at}{}{port}", plain("host"))
        }
        "rule" | "schedule" => {
            let name = body.get(name).and_then(|rule| rule.get("name"));
            name.map_or_else(String::new, ToString::to_string)
        }
        // A container by the name that it shall have, else by its image.
        "spec" => {
            let spec = body.get("spec");
            let of = |field| spec.and_then(|spec| spec.get(field)).map(ToString::to_string);
            of("name").filter(|name| !name.is_empty()).or_else(|| of("image")).unwrap_or_default()
        }
        "up" => {
            let project = body.get("up").and_then(|up| up.get("project"));
            project.map_or_else(String::new, ToString::to_string)
        }
        "order" => order(body),
        // So much of it tells it from others.
        "hash" => plain("hash").chars().take(12).collect(),
        "approve" => match body.get("approve") {
            Some(Value::Bool(true)) => context.texts.get("done.approved").to_owned(),
            _ => context.texts.get("done.denied").to_owned(),
        },
        // What an agent did alone names no path beside what it is about.
        "path" if body.get("path").is_none() => {
            let about = record.resource.as_str();
            about.strip_prefix("path:").unwrap_or(about).to_owned()
        }
        name => plain(name),
    }
}

fn sentence(texts: &Texts, key: &'static str, values: &[String]) -> String {
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    texts.fill(key, &values)
}

/// What was done, in a sentence without who, where and when; or that it was not.
pub(super) fn told(context: &Context<'_>, log: &Log, record: &Record) -> String {
    let done = done(context, record);
    let refused = match log.standing(record) {
        Standing::Ended(outcome) => matches!(
            outcome,
            Outcome::Denied
                | Outcome::OnRequest
                | Outcome::Unreachable
                | Outcome::NotFound
                | Outcome::Conflict
                | Outcome::Elsewhere
                | Outcome::Busy
                | Outcome::Malformed
                | Outcome::UnknownMethod
        ),
        _ => false,
    };
    if refused { context.texts.fill("done.not", &[&done]) } else { done }
}

fn done(context: &Context<'_>, record: &Record) -> String {
    let known = WORDS.iter().find(|(method, ..)| *method == record.method);
    let text = match (known, &record.body) {
        (Some((_, key, [])), _) => context.texts.get(key).to_owned(),
        (Some((_, key, fields)), Some(body)) => {
            let values = fields.iter().map(|name| field(context, record, body, name));
            sentence(context.texts, key, &values.collect::<Vec<_>>())
        }
        // What was refused before it was read, and what this release does not know.
        _ if record.resource.is_empty() => verb(record).to_owned(),
        _ => format!("{} {}", verb(record), record.resource),
    };
    clean(text.trim()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::methods;

    #[test]
    fn what_is_told_in_words_is_a_method_that_is_recorded() {
        // Those that are no methods are events that the hub records under a name of their own.
        let own = ["login", "join"];
        for (method, ..) in WORDS {
            assert!(own.contains(method) || methods::find(method).is_some(), "{method}");
        }
    }

    #[test]
    fn all_that_changes_something_is_told_in_words() {
        let told = |name| WORDS.iter().any(|(method, ..)| *method == name);
        // Logins that ask again for a code are steps of one that is told.
        let untold = methods::METHODS.iter().filter(|m| m.changes && !told(m.name));
        let untold: Vec<&str> = untold.map(|method| method.name).collect();
        assert_eq!(untold, Vec::<&str>::new());
    }

    #[test]
    fn an_order_is_told_as_lists_of_runs_tell_it() {
        let text = |text: &str| Value::Text(text.to_owned());
        let map = |name: &str, value| Value::Map(vec![(name.to_owned(), value)]);
        let line = map("order", map("line", map("text", text("uptime"))));
        assert_eq!(order(&line), "uptime");
        assert_eq!(order(&map("order", text("?"))), "");
    }
}
