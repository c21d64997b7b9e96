//! The places of the composer where something is typed or chosen, in the order in which one goes through them.

use super::ComposePane;
use crate::panes::Context;
use crate::store::runs::Kind;
use cmdr_protocol::runbooks::{Param, ParamKind};

/// The selector.
pub(super) const HOSTS: &str = "hosts";
/// Which kind of order.
pub(super) const KIND: &str = "kind";
/// The text area.
pub(super) const TEXT: &str = "text";

/// What a place holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// A line of text.
    Line,
    /// The name of a runbook.
    Book,
    /// Yes or no.
    Switch,
    /// One of some words.
    Choice(Vec<String>),
    /// The kinds beside each other.
    Kind,
    /// The text area.
    Text,
}

/// A place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    /// What it is known by.
    pub(super) name: String,
    /// What stands before it.
    pub(super) label: String,
    pub(super) sort: Sort,
    /// What stands in it while it is empty.
    pub(super) empty: String,
    /// What is said about it while one is there.
    pub(super) hint: String,
}

/// How it is to go: name, label, what is there while it is empty, hint.
const OPTIONS: [(&str, &str, &str, &str); 9] = [
    ("waves", "compose.waves", "compose.waves.none", "compose.waves.hint"),
    ("halt", "compose.halt", "compose.never", "compose.halt.hint"),
    ("deadline", "compose.deadline", "compose.never", "compose.deadline.hint"),
    ("timeout", "compose.timeout", "compose.never", "compose.timeout.hint"),
    ("when_online", "compose.when_online", "compose.no", "compose.when_online.hint"),
    ("expires", "compose.expires", "compose.expires.none", "compose.expires.hint"),
    ("user", "compose.user", "compose.user.none", "compose.user.hint"),
    ("cwd", "compose.cwd", "compose.cwd.none", "compose.cwd.hint"),
    ("note", "compose.note", "compose.nothing", "compose.note.hint"),
];

/// Whether runbooks and packages have it too: they choose the user and folder of their steps themselves.
fn is_for(kind: Kind, name: &str) -> bool {
    kind.is_text() || !matches!(name, "user" | "cwd" | "timeout")
}

fn param(context: &Context<'_>, param: &Param) -> Field {
    let texts = context.texts;
    let sort = match param.kind {
        ParamKind::YesNo => Sort::Switch,
        ParamKind::Choice if !param.of.is_empty() => Sort::Choice(param.of.clone()),
        _ => Sort::Line,
    };
    let empty = match (&param.default, param.kind) {
        (Some(text), _) if !text.is_empty() => text.clone(),
        (Some(_), _) => texts.get("compose.nothing").to_owned(),
        (None, _) => texts.get("compose.param.needed").to_owned(),
    };
    let kind = match param.kind {
        ParamKind::Number => "compose.param.number",
        ParamKind::YesNo => "compose.param.yes_no",
        ParamKind::Choice => "compose.param.choice",
        ParamKind::List => "compose.param.list",
        ParamKind::Secret => "compose.param.secret",
        ParamKind::Text | ParamKind::Unknown => "compose.param.text",
    };
    let words = [param.description.as_str(), texts.get(kind), param.limits.as_str()];
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    Field {
        name: format!("param {}", param.name),
        label: param.name.clone(),
        sort,
        empty: cmdr_protocol::display::clean(&empty).into_owned(),
        hint: words.join(" · "),
    }
}

impl ComposePane {
    fn line(
        context: &Context<'_>,
        (name, label, empty, hint): (&str, &'static str, &'static str, &'static str),
    ) -> Field {
        let texts = context.texts;
        let sort = match name {
            "when_online" => Sort::Switch,
            "book" => Sort::Book,
            "action" => Sort::Choice(["install", "remove", "upgrade"].map(str::to_owned).to_vec()),
            _ => Sort::Line,
        };
        Field {
            name: name.to_owned(),
            label: texts.get(label).to_owned(),
            sort,
            empty: texts.get(empty).to_owned(),
            hint: texts.get(hint).to_owned(),
        }
    }

    /// What belongs to the order itself, beside the text area.
    pub(super) fn of_order(&self, context: &Context<'_>) -> Vec<Field> {
        let line = |field| Self::line(context, field);
        match self.draft.kind {
            Kind::Line | Kind::Command => Vec::new(),
            Kind::Script => vec![
                line(("name", "compose.name", "compose.name.none", "compose.name.hint")),
                line((
                    "interpreter",
                    "compose.interpreter",
                    "compose.interpreter.none",
                    "compose.interpreter.hint",
                )),
                line(("args", "compose.args", "compose.nothing", "compose.args.hint")),
            ],
            Kind::Packages => vec![
                line(("action", "compose.action", "compose.action.none", "compose.action.hint")),
                line(("names", "compose.names", "compose.param.needed", "compose.names.hint")),
            ],
            Kind::Push => vec![
                line(("file", "compose.file", "compose.param.needed", "compose.file.hint")),
                line(("path", "compose.path", "compose.param.needed", "compose.path.hint")),
                line(("mode", "compose.mode", "compose.mode.none", "compose.mode.hint")),
                line(("owner", "compose.owner", "compose.owner.none", "compose.owner.hint")),
                line(("then", "compose.then", "compose.nothing", "compose.then.hint")),
            ],
            Kind::Book => {
                let mut fields =
                    vec![line(("book", "compose.book", "compose.book.none", "compose.book.hint"))];
                let params = self.params(context).unwrap_or_default();
                fields.extend(params.iter().map(|one| param(context, one)));
                fields
            }
        }
    }

    /// How it is to go.
    pub(super) fn options(&self, context: &Context<'_>) -> Vec<Field> {
        let shown = OPTIONS.into_iter().filter(|(name, ..)| {
            is_for(self.draft.kind, name) && (*name != "expires" || self.draft.is_on("when_online"))
        });
        shown.map(|field| Self::line(context, field)).collect()
    }

    /// All places in order.
    pub(super) fn fields(&self, context: &Context<'_>) -> Vec<Field> {
        let texts = context.texts;
        let own = |name: &str, sort, hint: &'static str| Field {
            name: name.to_owned(),
            label: String::new(),
            sort,
            empty: String::new(),
            hint: texts.get(hint).to_owned(),
        };
        let mut fields = vec![
            own(HOSTS, Sort::Line, "compose.hosts.hint"),
            own(KIND, Sort::Kind, "compose.kind.hint"),
        ];
        fields.extend(self.of_order(context));
        if self.draft.kind.is_text() {
            let hint = match self.draft.kind {
                Kind::Command => "compose.command.hint",
                Kind::Script => "compose.script.hint",
                _ => "compose.line.hint",
            };
            fields.push(own(TEXT, Sort::Text, hint));
        }
        fields.extend(self.options(context));
        fields
    }
}
