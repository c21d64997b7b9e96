//! An order that is being written: what stands in each place, as it was typed.

use cmdr_protocol::orders::is_blob;
use cmdr_protocol::runbooks::{Param as Wanted, ParamKind};
use cmdr_protocol::runs::{
    Action, Amount, Command, Halt, Line, Order, Packages, Param, Push, Runbook, Script, Start,
    Waves,
};
use cmdr_protocol::{HostId, human};
use std::collections::BTreeMap;

/// What is ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// A line for the shell.
    #[default]
    Line,
    /// A program with its arguments.
    Command,
    /// A script.
    Script,
    /// A runbook.
    Book,
    /// Packages.
    Packages,
    /// A file of this machine, put on hosts.
    Push,
}

/// The content of a file that is not at the hub yet.
const NOT_SENT: &str = "0000000000000000000000000000000000000000000000000000000000000000";

impl Kind {
    /// All of them, as they stand beside each other.
    pub const ALL: [Self; 6] =
        [Self::Line, Self::Command, Self::Script, Self::Book, Self::Packages, Self::Push];

    /// Key of its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Line => "compose.kind.line",
            Self::Command => "compose.kind.command",
            Self::Script => "compose.kind.script",
            Self::Book => "compose.kind.book",
            Self::Packages => "compose.kind.packages",
            Self::Push => "compose.kind.push",
        }
    }

    /// Whether it is written in the text area.
    pub const fn is_text(self) -> bool {
        matches!(self, Self::Line | Self::Command | Self::Script)
    }
}

/// What was typed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draft {
    /// The selector.
    pub hosts: String,
    /// Of those that it picks only these; empty for all.
    pub only: Vec<HostId>,
    /// What is ordered.
    pub kind: Kind,
    /// The text of each kind that has one.
    texts: BTreeMap<&'static str, String>,
    /// Everything else, by the name of its place; of parameters `param NAME`.
    fields: BTreeMap<String, String>,
}

/// Why there is no order yet: at which place, the key of what is said, and what is filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// The name of the place; empty for the text.
    pub at: String,
    /// Key of the text.
    pub text: &'static str,
    /// Filled in.
    pub values: Vec<String>,
}

fn lack(at: &str, text: &'static str, value: impl Into<String>) -> Lack {
    Lack { at: at.to_owned(), text, values: vec![value.into()] }
}

/// What is in a list, between commas and blanks.
fn items(text: &str) -> Vec<String> {
    text.split([',', ' ']).map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned).collect()
}

impl Draft {
    /// The text of the present kind.
    pub fn text(&self) -> &str {
        self.texts.get(self.kind.name()).map_or("", String::as_str)
    }

    /// Puts another text in.
    pub fn set_text(&mut self, text: String) {
        self.texts.insert(self.kind.name(), text);
    }

    /// What stands at a place.
    pub fn get(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    /// Puts something else there.
    pub fn set(&mut self, name: &str, text: String) {
        if text.is_empty() {
            self.fields.remove(name);
        } else {
            self.fields.insert(name.to_owned(), text);
        }
    }

    /// Only the hosts and the kind are left.
    pub fn empty(&mut self) {
        self.texts.clear();
        self.fields.clear();
    }

    /// Whether a switch is on.
    pub fn is_on(&self, name: &str) -> bool {
        self.get(name) == "yes"
    }

    /// The same as a run that there was: to look at, to change, to do again.
    pub fn of_run(start: &Start) -> Self {
        let mut draft = Self { hosts: start.hosts.clone(), ..Self::default() };
        draft.only.clone_from(&start.only);
        let order = &start.order;
        let quoted =
            |argv: &[String]| argv.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
        if let Some(command) = &order.command {
            draft.kind = Kind::Command;
            draft.set_text(quoted(&command.argv));
        } else if let Some(line) = &order.line {
            draft.kind = Kind::Line;
            draft.set_text(line.text.clone());
        } else if let Some(script) = &order.script {
            draft.kind = Kind::Script;
            draft.set_text(String::from_utf8_lossy(&script.content).into_owned());
            draft.set("name", script.name.clone());
            draft.set("interpreter", quoted(&script.interpreter));
            draft.set("args", quoted(&script.args));
        } else if let Some(packages) = &order.packages {
            draft.kind = Kind::Packages;
            draft.set("action", packages.action.to_string());
            draft.set("names", packages.names.join(" "));
        } else if let Some(push) = &order.push {
            draft.kind = Kind::Push;
            draft.set("file", push.file.clone());
            draft.set("path", push.path.clone());
            draft.set("mode", push.mode.map(|mode| format!("{mode:04o}")).unwrap_or_default());
            draft.set("owner", push.owner.clone());
            draft.set("then", push.then.as_deref().map(quoted).unwrap_or_default());
        } else if let Some(book) = &order.runbook {
            draft.kind = Kind::Book;
            draft.set("book", book.name.clone());
            for (name, value) in &book.params {
                let text = match value {
                    Param::Bool(on) => if *on { "yes" } else { "no" }.to_owned(),
                    Param::Int(n) => n.to_string(),
                    Param::Text(text) => text.clone(),
                    Param::List(texts) => texts.join(","),
                };
                draft.set(&format!("param {name}"), text);
            }
        }
        draft.set("user", order.user.clone().unwrap_or_default());
        draft.set("cwd", order.cwd.clone().unwrap_or_default());
        let span =
            |ms: Option<u64>| ms.map(|ms| format!("{}s", ms.div_ceil(1000))).unwrap_or_default();
        draft.set("timeout", span(order.timeout_ms));
        draft.set("deadline", span(start.deadline_ms));
        let amount = |amount: Amount| match (amount.count, amount.percent) {
            (Some(count), _) => count.to_string(),
            (None, Some(percent)) => format!("{percent}%"),
            (None, None) => String::new(),
        };
        if let Some(waves) = start.waves {
            let words = [amount(waves.first), amount(waves.then)];
            draft.set(
                "waves",
                words.into_iter().filter(|w| !w.is_empty()).collect::<Vec<_>>().join(","),
            );
        }
        draft.set("halt", start.halt.map(|halt| amount(halt.failures)).unwrap_or_default());
        if start.when_online {
            draft.set("when_online", "yes".to_owned());
            draft.set("expires", span(start.expires_ms));
        }
        draft.set("note", start.note.clone());
        draft
    }

    /// The file of this machine whose content has to be sent to the hub first.
    pub fn to_send(&self) -> Option<&str> {
        let file = self.get("file").trim();
        (self.kind == Kind::Push && !is_blob(file)).then_some(file)
    }

    /// What it comes to; `params` are those of the runbook, when that is known.
    pub fn start(
        &self,
        params: Option<&[Wanted]>,
        words: impl Fn(&str) -> Option<Vec<String>>,
    ) -> Result<Start, Lack> {
        if self.hosts.trim().is_empty() {
            return Err(lack("hosts", "compose.lack.hosts", ""));
        }
        let order = self.order(params, words)?;
        if let Err(why) = order.check() {
            return Err(lack("", "compose.lack.order", why));
        }
        let span = |name: &str| self.span(name);
        let waves = match self.get("waves").trim() {
            "" => None,
            text => {
                Some(Waves::parse(text).map_err(|why| lack("waves", "compose.lack.order", why))?)
            }
        };
        let halt = match self.get("halt").trim() {
            "" => None,
            text => {
                let failures =
                    Amount::parse(text).map_err(|why| lack("halt", "compose.lack.order", why))?;
                Some(Halt { failures })
            }
        };
        let when_online = self.is_on("when_online");
        Ok(Start {
            hosts: self.hosts.trim().to_owned(),
            only: self.only.clone(),
            order,
            waves,
            halt,
            deadline_ms: span("deadline")?,
            when_online,
            expires_ms: span("expires")?.filter(|_| when_online),
            note: self.get("note").trim().to_owned(),
            ..Start::default()
        })
    }

    fn span(&self, name: &str) -> Result<Option<u64>, Lack> {
        match self.get(name).trim() {
            "" => Ok(None),
            text => {
                let time =
                    human::duration(text).map_err(|why| lack(name, "compose.lack.order", why))?;
                Ok(Some(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)))
            }
        }
    }

    fn order(
        &self,
        params: Option<&[Wanted]>,
        words: impl Fn(&str) -> Option<Vec<String>>,
    ) -> Result<Order, Lack> {
        let some = |name: &str| Some(self.get(name).trim().to_owned()).filter(|t| !t.is_empty());
        let split =
            |at: &str, text: &str| words(text).ok_or_else(|| lack(at, "compose.lack.quote", ""));
        let mut order = Order {
            user: some("user"),
            cwd: some("cwd"),
            timeout_ms: self.span("timeout")?,
            ..Order::default()
        };
        match self.kind {
            Kind::Line => {
                order.line = Some(Line { text: self.text().trim_end().to_owned() });
            }
            Kind::Command => {
                order.command = Some(Command { argv: split("", self.text())? });
            }
            Kind::Script => {
                let content = self.text();
                if content.trim().is_empty() {
                    return Err(lack("", "compose.lack.script", ""));
                }
                let end = if content.ends_with('\n') { "" } else { "\n" };
                order.script = Some(Script {
                    name: some("name").unwrap_or_else(|| "script".to_owned()),
                    content: format!("{content}{end}").into_bytes(),
                    interpreter: split("interpreter", self.get("interpreter"))?,
                    args: split("args", self.get("args"))?,
                });
            }
            Kind::Packages => {
                let action = match self.get("action") {
                    "remove" => Action::Remove,
                    "upgrade" => Action::Upgrade,
                    _ => Action::Install,
                };
                order.packages = Some(Packages { action, names: items(self.get("names")) });
            }
            Kind::Push => {
                let Some(file) = some("file") else {
                    return Err(lack("file", "compose.lack.file", ""));
                };
                let Some(path) = some("path") else {
                    return Err(lack("path", "compose.lack.path", ""));
                };
                let mode = some("mode").map(|text| {
                    let mode = u32::from_str_radix(&text, 8).ok().filter(|mode| *mode <= 0o7777);
                    mode.ok_or_else(|| lack("mode", "compose.lack.mode", text))
                });
                let then = some("then").map(|text| split("then", &text)).transpose()?;
                order.push = Some(Push {
                    file: if is_blob(&file) { file } else { NOT_SENT.to_owned() },
                    path,
                    mode: mode.transpose()?,
                    owner: some("owner").unwrap_or_default(),
                    then,
                });
            }
            Kind::Book => {
                let Some(name) = some("book") else {
                    return Err(lack("book", "compose.lack.book", ""));
                };
                let mut given = BTreeMap::new();
                for wanted in params.unwrap_or_default() {
                    if let Some(value) = self.param(wanted)? {
                        given.insert(wanted.name.clone(), value);
                    }
                }
                order.runbook = Some(Runbook { name, params: given, ..Runbook::default() });
            }
        }
        Ok(order)
    }

    fn param(&self, wanted: &Wanted) -> Result<Option<Param>, Lack> {
        let at = format!("param {}", wanted.name);
        let text = self.get(&at);
        if text.trim().is_empty() {
            return if wanted.default.is_some() {
                Ok(None)
            } else {
                Err(lack(&at, "compose.lack.param", wanted.name.clone()))
            };
        }
        Ok(Some(match wanted.kind {
            ParamKind::YesNo => Param::Bool(text == "yes"),
            ParamKind::Number => {
                let number = text.trim().parse();
                Param::Int(
                    number.map_err(|_| lack(&at, "compose.lack.number", wanted.name.clone()))?,
                )
            }
            ParamKind::List => {
                let texts = text.split(',').map(str::trim).filter(|t| !t.is_empty());
                Param::List(texts.map(str::to_owned).collect())
            }
            _ => Param::Text(text.to_owned()),
        }))
    }
}

/// A word as it is typed where blanks part words.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "._-/=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\"'\"'"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Option<Vec<String>> {
        let is_whole = text.matches('\'').count().is_multiple_of(2);
        is_whole.then(|| text.split_whitespace().map(str::to_owned).collect())
    }

    fn draft(kind: Kind, text: &str) -> Draft {
        let mut draft = Draft { hosts: "web*".into(), kind, ..Draft::default() };
        draft.set_text(text.to_owned());
        draft
    }

    #[test]
    fn each_kind_becomes_its_order_with_what_was_chosen_beside_it() {
        let mut line = draft(Kind::Line, "id | wc\n");
        line.set("waves", "1,10%".into());
        line.set("halt", "5%".into());
        line.set("deadline", "30m".into());
        line.set("when_online", "yes".into());
        line.set("expires", "2h".into());
        let start = line.start(None, words).expect("an order");
        assert_eq!(start.order.line.map(|line| line.text).as_deref(), Some("id | wc"));
        assert_eq!(start.waves, Waves::parse("1,10%").ok());
        assert_eq!((start.deadline_ms, start.expires_ms), (Some(1_800_000), Some(7_200_000)));
        let command = draft(Kind::Command, "uptime -p").start(None, words).expect("an order");
        assert_eq!(command.order.command.expect("one").argv, ["uptime", "-p"]);
        let mut packages = draft(Kind::Packages, "");
        packages.set("names", "nginx, jq".into());
        let packages = packages.start(None, words).expect("an order").order.packages.expect("some");
        assert_eq!((packages.action, packages.names.len()), (Action::Install, 2));
    }

    #[test]
    fn a_file_is_pushed_from_this_machine_or_as_the_hub_has_it() {
        let mut push = draft(Kind::Push, "");
        let at = |draft: &Draft| draft.start(None, words).expect_err("lacks").at;
        assert_eq!(at(&push), "file");
        push.set("file", "~/motd".into());
        assert_eq!(at(&push), "path");
        push.set("path", "/etc/motd".into());
        push.set("mode", "0999".into());
        assert_eq!(at(&push), "mode");
        push.set("mode", "0640".into());
        push.set("then", "wall -n".into());
        let start = push.start(None, words).expect("an order");
        let order = start.order.push.clone().expect("a push");
        assert_eq!((order.mode, order.then.map(|then| then.len())), (Some(0o640), Some(2)));
        assert_eq!(push.to_send(), Some("~/motd"));
        push.set("file", "ab".repeat(32));
        let start = push.start(None, words).expect("an order");
        assert_eq!(push.to_send(), None, "it is there");
        assert_eq!(Draft::of_run(&start).start(None, words), Ok(start));
    }

    #[test]
    fn what_is_missing_or_wrong_is_said_where_it_is() {
        let at = |draft: &Draft| draft.start(None, words).expect_err("lacks").at;
        assert_eq!(at(&Draft::default()), "hosts");
        assert_eq!(at(&draft(Kind::Line, " ")), "");
        assert_eq!(at(&draft(Kind::Book, "")), "book");
        let mut waves = draft(Kind::Line, "id");
        waves.set("waves", "ten".into());
        assert_eq!(at(&waves), "waves");
    }

    #[test]
    fn parameters_have_their_types_and_those_with_a_default_may_be_left_out() {
        let param = |name: &str, kind, default: Option<&str>| Wanted {
            name: name.into(),
            kind,
            default: default.map(str::to_owned),
            ..Wanted::default()
        };
        let params = [
            param("port", ParamKind::Number, None),
            param("tls", ParamKind::YesNo, Some("no")),
            param("names", ParamKind::List, Some("")),
        ];
        let mut book = draft(Kind::Book, "");
        book.set("book", "nginx".into());
        let lacks = book.start(Some(&params), words).expect_err("lacks");
        assert_eq!((lacks.at.as_str(), lacks.text), ("param port", "compose.lack.param"));
        book.set("param port", "x".into());
        assert_eq!(book.start(Some(&params), words).expect_err("no").text, "compose.lack.number");
        book.set("param port", "80".into());
        book.set("param names", "a, b".into());
        let given = book.start(Some(&params), words).expect("an order").order.runbook.expect("one");
        let expected = [
            ("names".to_owned(), Param::List(vec!["a".into(), "b".into()])),
            ("port".to_owned(), Param::Int(80)),
        ];
        assert_eq!(given.params, BTreeMap::from(expected));
    }

    #[test]
    fn a_run_that_there_was_is_the_same_order_again() {
        let mut line = draft(Kind::Line, "id");
        line.set("waves", "1,10%".into());
        line.set("user", "root".into());
        line.set("deadline", "90s".into());
        let start = line.start(None, words).expect("an order");
        assert_eq!(Draft::of_run(&start).start(None, words), Ok(start));
    }
}
