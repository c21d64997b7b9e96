//! What a text is the text of, and what differs between those: how the hub is asked, and what is said.

use crate::action::{Action, PATIENCE, Refused, reason};
use crate::event::Event;
use crate::link::Link;
use crate::panes::hosts::quoted;
use crate::panes::{Place, configs as groups};
use crate::store::alerts::lists;
use crate::store::gateways;
use crate::store::probes;
use crate::store::sheets::id_of;
use crate::store::written::{Draft, Said, Theirs, said};
use cmdr_protocol::display::clean;
use cmdr_protocol::gateways as of_gateway;
use cmdr_protocol::probes as wire;
use cmdr_protocol::runbooks::Saved;
use cmdr_protocol::{Call, CallError, ErrorKind, alerts, configs, notifiers, rules};

/// What a group looks like that has nothing in it yet.
const CONFIG: &str = "\
name: {name}
description: ''
# Nobody else gets these files.
hosts: role=web
files:
- to: /etc/example.conf
  mode: '0644'
  owner: root
  content: |
    server_name {{host.name}}
# Done where a file has changed.
then:
- name: reload
  command: [systemctl, reload, example]
";

/// The same of a rule.
const RULE: &str = "\
rules:
  - name: {name}
    description: ''
    # hosts: env=prod
    when: avg(cpu.busy, 5m) > 90%
    clear: avg(cpu.busy, 5m) < 80%
    for: 10m
    severity: warning
    message: '{host}: {value} (limit {limit})'
";

/// The same of a notifier.
const NOTIFIER: &str = "\
to:
  kind: email
  host: mail.example.com
  from: Commander <cmdr@example.com>
  to: [ops@example.com]
  user: cmdr
  # The name of a secret that the hub keeps: cmdr secrets put NAME
  password: mail.password
";

/// A version of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Old {
    pub(super) text: String,
    pub(super) note: String,
    pub(super) version: u64,
    pub(super) by: String,
}

/// What a text is the text of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A config group.
    Config(String),
    /// A rule.
    Rule(String),
    /// A notifier.
    Notifier(String),
    /// A probe.
    Probe(String),
    /// A gateway.
    Gateway(String),
    /// Who is told of alerts.
    Policies,
}

impl Subject {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Config(name)
            | Self::Rule(name)
            | Self::Notifier(name)
            | Self::Probe(name)
            | Self::Gateway(name) => name,
            Self::Policies => "policies",
        }
    }

    /// The number of its text.
    pub fn number(&self) -> u64 {
        match self {
            Self::Config(name) => crate::store::configs::number(name),
            Self::Rule(name) => id_of(&("rule", name)),
            Self::Notifier(name) => id_of(&("notifier", name)),
            Self::Probe(name) => probes::number(name),
            Self::Gateway(name) => gateways::number(name),
            Self::Policies => id_of(&"policies"),
        }
    }

    /// Where it is written.
    pub(super) fn place(&self) -> Place {
        match self {
            Self::Config(_) => Place::ConfigText(self.number()),
            Self::Probe(_) => Place::ProbeText(self.number()),
            Self::Gateway(_) => Place::GatewayText(self.number()),
            _ => Place::AlertText(self.number()),
        }
    }

    /// What stands there first in a new one.
    pub fn blank(&self) -> Draft {
        let text = match self {
            Self::Config(_) => CONFIG,
            Self::Rule(_) => RULE,
            Self::Notifier(_) => NOTIFIER,
            // New ones begin with a form.
            Self::Probe(_) | Self::Gateway(_) | Self::Policies => "",
        };
        Draft { text: text.replacen("{name}", self.name(), 1), ..Draft::default() }
    }

    /// What one must be allowed to save it.
    pub fn save_verb(&self) -> &'static str {
        match self {
            Self::Config(_) => configs::Save::METHOD,
            Self::Rule(_) => rules::Save::METHOD,
            Self::Notifier(_) => notifiers::Save::METHOD,
            Self::Probe(_) => wire::Save::METHOD,
            Self::Gateway(_) => of_gateway::Save::METHOD,
            Self::Policies => alerts::SavePolicies::METHOD,
        }
    }

    /// Said of one that the hub has not.
    pub(super) const fn of_new(&self) -> &'static str {
        match self {
            Self::Config(_) => "configs.write.new",
            Self::Rule(_) => "rules.write.new",
            Self::Notifier(_) => "notifiers.write.new",
            Self::Probe(_) => "probes.write.new",
            Self::Gateway(_) => "gateways.write.new",
            Self::Policies => "policies.write.new",
        }
    }

    /// Said where nothing is wrong with the text.
    pub(super) const fn fine(&self) -> &'static str {
        match self {
            Self::Config(_) => "configs.write.fine",
            Self::Rule(_) => "rules.write.fine",
            Self::Notifier(_) => "notifiers.write.fine",
            Self::Probe(_) => "probes.write.fine",
            Self::Gateway(_) => "gateways.write.fine",
            Self::Policies => "policies.write.fine",
        }
    }

    /// Said where the text has another name.
    pub(super) const fn other_name(&self) -> &'static str {
        match self {
            Self::Config(_) => "configs.write.other_name",
            Self::Probe(_) => "probes.write.other_name",
            Self::Gateway(_) => "gateways.write.other_name",
            _ => "rules.write.other_name",
        }
    }

    /// Said once it was saved.
    pub(super) const fn saved(&self) -> &'static str {
        if matches!(self, Self::Config(_)) { "configs.saved" } else { "rules.saved" }
    }

    /// Said above what a save would change.
    pub(super) const fn hint(&self) -> &'static str {
        match self {
            Self::Config(_) => "configs.no_host",
            Self::Rule(_) => "rules.write.hint",
            Self::Notifier(_) => "notifiers.write.hint",
            Self::Probe(_) => "probes.write.hint",
            Self::Gateway(_) => "gateways.write.hint",
            Self::Policies => "policies.write.hint",
        }
    }

    /// Said when one leaves a text that is not saved.
    pub(super) const fn kept(&self) -> &'static str {
        match self {
            Self::Config(_) => "configs.write.kept",
            Self::Probe(_) => "probes.write.kept",
            Self::Gateway(_) => "gateways.write.kept",
            Self::Policies => "policies.write.kept",
            _ => "rules.write.kept",
        }
    }

    /// What is shown elsewhere is asked for anew.
    pub(super) fn renewed(&self) -> Action {
        match self {
            Self::Config(name) => groups::renewed(name),
            Self::Rule(_) => Action::Apply(lists::stale(lists::RULES)),
            Self::Probe(_) => Action::Apply(probes::stale()),
            Self::Gateway(_) => Action::Apply(gateways::stale()),
            Self::Notifier(_) | Self::Policies => Action::Apply(lists::stale(lists::NOTIFIERS)),
        }
    }

    /// Asks what is wrong with a text; the answer is for this editor.
    pub(super) fn check(&self, owner: u64, text: String) -> Action {
        match self {
            Self::Config(_) => asked(owner, configs::Check { text }, |checked| Said::Checked {
                problems: checked.problems,
                name: Some(checked.name),
                about: checked.files.to_string(),
            }),
            Self::Rule(_) => asked(owner, rules::Check { text }, |checked| Said::Checked {
                problems: checked.problems,
                name: Some(checked.names.join(", ")),
                about: String::new(),
            }),
            Self::Notifier(_) => asked(owner, notifiers::Check { text }, |checked| Said::Checked {
                problems: checked.problems,
                name: None,
                about: checked.title,
            }),
            Self::Probe(_) => asked(owner, wire::Check { text }, |checked| Said::Checked {
                problems: checked.problems,
                name: Some(checked.name),
                about: checked.agents.to_string(),
            }),
            Self::Gateway(_) => asked(owner, of_gateway::Check { text }, |checked| Said::Checked {
                problems: checked.problems,
                name: Some(checked.name),
                about: if checked.unasked.is_empty() { checked.host } else { checked.unasked },
            }),
            Self::Policies => asked(owner, alerts::CheckPolicies { text }, |checked| {
                Said::Checked { problems: checked.problems, name: None, about: String::new() }
            }),
        }
    }

    /// Saves it; `was` is the version that it was made from.
    pub(super) fn save(&self, owner: u64, text: String, note: &str, was: u64) -> Action {
        let (name, note, was) = (self.name().to_owned(), note.to_owned(), Some(was));
        let sent = text.clone();
        match self {
            Self::Config(_) => {
                saving(owner, self.clone(), sent, configs::Save { name, text, note, was })
            }
            Self::Rule(_) => {
                saving(owner, self.clone(), sent, rules::Save { name, text, note, was })
            }
            Self::Notifier(_) => {
                saving(owner, self.clone(), sent, notifiers::Save { name, text, note, was })
            }
            Self::Probe(_) => {
                saving(owner, self.clone(), sent, wire::Save { name, text, note, was })
            }
            Self::Gateway(_) => {
                saving(owner, self.clone(), sent, of_gateway::Save { name, text, note, was })
            }
            Self::Policies => {
                saving(owner, self.clone(), sent, alerts::SavePolicies { text, note, was })
            }
        }
    }

    /// What the hub has now.
    async fn there(&self, link: &Link) -> Result<Theirs, CallError> {
        let Old { text, version, by, .. } = self.version(link, None).await?;
        Ok(Theirs { text, version, by })
    }

    /// A version of it, or the newest; of what is kept in one only that one.
    pub(super) async fn version(
        &self,
        link: &Link,
        version: Option<u64>,
    ) -> Result<Old, CallError> {
        let name = self.name().to_owned();
        Ok(match self {
            Self::Config(_) => {
                let shown = link.call(None, configs::Show { name, version }, PATIENCE).await?;
                let configs::Config { version, saved_by: by, .. } = shown.config;
                Old { text: shown.text, note: shown.note, version, by }
            }
            Self::Rule(_) => {
                let shown = link.call(None, rules::Show { name, version }, PATIENCE).await?;
                let rules::Rule { version, saved_by: by, .. } = shown.rule;
                Old { text: shown.text, note: shown.note, version, by }
            }
            Self::Notifier(_) => {
                let shown = link.call(None, notifiers::Show { name }, PATIENCE).await?;
                let notifiers::Notifier { version, saved_by: by, .. } = shown.notifier;
                Old { text: shown.text, note: String::new(), version, by }
            }
            Self::Probe(_) => {
                let shown = link.call(None, wire::Show { name, version }, PATIENCE).await?;
                let wire::Row { version, saved_by: by, .. } = shown.probe;
                Old { text: shown.text, note: shown.note, version, by }
            }
            Self::Gateway(_) => {
                let shown = link.call(None, of_gateway::Show { name, version }, PATIENCE).await?;
                let of_gateway::Row { version, saved_by: by, .. } = shown.gateway;
                Old { text: shown.text, note: shown.note, version, by }
            }
            Self::Policies => {
                let shown = link.call(None, alerts::Policies {}, PATIENCE).await?;
                let alerts::PolicyText { text, version, .. } = shown;
                Old { text, note: String::new(), version, by: String::new() }
            }
        })
    }

    /// The command that shows a version of it.
    pub(super) fn show_line(&self, version: u64) -> String {
        let name = quoted(self.name());
        match self {
            Self::Rule(_) => format!("cmdr rules show {name} --version {version}"),
            Self::Probe(_) => format!("cmdr probes show {name} --version {version}"),
            Self::Gateway(_) => format!("cmdr gateway show {name} --version {version}"),
            _ => format!("cmdr config show {name} --version {version}"),
        }
    }

    /// The command that saves a version of it again.
    pub(super) fn restore_line(&self, version: u64) -> String {
        let name = quoted(self.name());
        match self {
            Self::Rule(_) => format!("cmdr rules restore {name} {version}"),
            Self::Probe(_) => format!("cmdr probes restore {name} {version}"),
            Self::Gateway(_) => format!("cmdr gateway restore {name} {version}"),
            _ => format!("cmdr config restore {name} {version}"),
        }
    }
}

fn asked<C: Call>(
    owner: u64,
    check: C,
    take: impl FnOnce(C::Reply) -> Said + Send + 'static,
) -> Action {
    Action::fetch(None, check, PATIENCE, move |checked| match checked {
        Ok(checked) => (Some(said(owner, take(checked))), Action::None),
        Err(error) => (Some(said(owner, Said::Failed)), Action::Complain(reason(&error))),
    })
}

/// Saves a text; when somebody else was quicker, what they saved is fetched.
fn saving<C>(owner: u64, subject: Subject, text: String, save: C) -> Action
where
    C: Call<Reply = Saved> + Clone,
{
    Action::Errand(Box::new(move |link: Link| {
        Box::pin(async move {
            let (told, action) = match link.call(None, save.clone(), PATIENCE).await {
                Ok(saved) => (Said::Saved(saved.version, text), Action::None),
                Err(error) if error.kind == ErrorKind::OnRequest => {
                    let refused = Refused {
                        verb: C::METHOD,
                        resource: save.resource(),
                        host: None,
                        what: subject.name().to_owned(),
                        why: reason(&error),
                        again: saving(owner, subject, text, save),
                    };
                    (Said::Failed, Action::Refused(Box::new(refused)))
                }
                Err(error) => {
                    let theirs = if error.kind == ErrorKind::Conflict {
                        subject.there(&link).await.ok()
                    } else {
                        None
                    };
                    match theirs {
                        // It was ours, and only the answer was lost.
                        Some(theirs) if theirs.text == text => {
                            (Said::Saved(theirs.version, text), Action::None)
                        }
                        Some(theirs) => (Said::Conflict(theirs), Action::None),
                        None => {
                            let name = clean(subject.name()).into_owned();
                            let why = format!("{name}: {}", reason(&error));
                            (Said::Failed, Action::Complain(why))
                        }
                    }
                }
            };
            Event::Done(Some(said(owner, told)), action)
        })
    }))
}
