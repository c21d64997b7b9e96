//! Templates of words and files, and conditions: what is between `{{` and `}}`, and after `when`.
//!
//! The language is that of the crate `minijinja`, with nothing in it that reads files or the environment. What is
//! not defined is an error. A word of a command stays one word, whatever its parameters are; texts for a shell are
//! not made here but in `shell.rs`. What could grow without bound is kept out by `growth.rs`.

use super::growth::{self, Bounded};
use cmdr_link::settings::nearest;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Error, UndefinedBehavior};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// What names stand for.
pub(super) type Context = Map<String, Value>;

/// Steps that one template may take; a loop over a list of parameters takes a handful an entry.
const FUEL: u64 = 200_000;
/// The largest file that comes out of a template, in bytes.
pub(super) const LARGEST: usize = 1 << 20;

/// Facts of a host, as conditions and templates name them.
pub(super) const FACTS: &[&str] = &[
    "addresses",
    "arch",
    "cores",
    "cpu",
    "docker",
    "family",
    "hostname",
    "kernel",
    "machine_id",
    "manager",
    "memory",
    "os",
    "os_type",
    "os_version",
    "swap",
    "virtualization",
];
/// What is known of the host besides.
const HOST: &[&str] = &["address", "id", "name"];
/// What is known of a step that was done.
pub(super) const STEP: &[&str] = &["changed", "code", "error", "failed", "ok", "output", "skipped"];
/// Functions, which are no names of ours.
const FUNCTIONS: &[&str] =
    &["range", "dict", "namespace", "debug", "true", "false", "none", "loop"];
/// Names that a parameter cannot have.
pub(super) const TAKEN: &[&str] = &[
    "fact",
    "host",
    "label",
    "step",
    "param",
    "and",
    "or",
    "not",
    "in",
    "is",
    "if",
    "else",
    "elif",
    "for",
    "set",
    "range",
    "dict",
    "namespace",
    "debug",
    "true",
    "false",
    "none",
    "loop",
    "self",
    "recursive",
];

static ENGINE: LazyLock<Environment<'static>> = LazyLock::new(engine);

fn engine<'a>() -> Environment<'a> {
    let mut engine = Environment::new();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.set_fuel(Some(FUEL));
    engine.set_auto_escape_callback(|_| AutoEscape::None);
    growth::bound(&mut engine);
    let mut syntax = engine.syntax().to_builder();
    // A line of its own leaves nothing of itself.
    if let Ok(syntax) =
        syntax.keep_trailing_newline(true).trim_blocks(true).lstrip_blocks(true).build()
    {
        engine.set_syntax(syntax);
    }
    engine
}

/// In words, without the name that a template has none of.
fn told(error: &Error) -> String {
    let kind = error.kind().to_string();
    match error.detail() {
        Some(detail) => format!("{kind}: {detail}"),
        None => kind,
    }
}

/// Something wrong in a template, on a line of it counted from 1.
pub(super) type Wrong = (u32, String);

fn wrong(error: &Error) -> Wrong {
    let line = error.line().and_then(|line| u32::try_from(line).ok()).unwrap_or(1);
    (line.max(1), told(error))
}

/// The names that a template uses.
pub(super) fn names(template: &str) -> Result<BTreeSet<String>, Wrong> {
    growth::check(template)?;
    let engine = engine();
    let parsed = engine.template_from_str(template).map_err(|e| wrong(&e))?;
    Ok(parsed.undeclared_variables(true).into_iter().collect())
}

/// The names that an expression uses.
pub(super) fn names_of_expression(text: &str) -> Result<BTreeSet<String>, Wrong> {
    growth::alone(text).map_err(|what| (1, what))?;
    let parsed = ENGINE.compile_expression_owned(text.to_owned()).map_err(|e| wrong(&e))?;
    Ok(parsed.undeclared_variables(true).into_iter().collect())
}

/// Renders a template.
pub(super) fn render(template: &str, context: &Context) -> Result<String, String> {
    if !template.contains(['{']) {
        return Ok(template.to_owned());
    }
    growth::check(template).map_err(|(_, what)| what)?;
    let parsed = ENGINE.template_from_str(template).map_err(|e| told(&e))?;
    let mut text = Bounded { text: Vec::new(), most: LARGEST };
    let rendered = parsed.render_captured_to(minijinja::Value::from(Serde(context)), &mut text);
    match rendered {
        Ok(_) => String::from_utf8(text.text).map_err(|e| e.to_string()),
        Err(e) if e.kind() == minijinja::ErrorKind::WriteFailure => {
            Err(format!("what comes out of the template has more than {} MiB", LARGEST >> 20))
        }
        Err(e) => Err(told(&e)),
    }
}

/// Whether a condition holds.
pub(super) fn holds(expression: &str, context: &Context) -> Result<bool, String> {
    growth::alone(expression)?;
    let parsed = ENGINE.compile_expression_owned(expression.to_owned()).map_err(|e| told(&e))?;
    let value = parsed.eval(minijinja::Value::from(Serde(context))).map_err(|e| told(&e))?;
    if value.is_undefined() {
        return Err(format!("'{expression}' is undefined here"));
    }
    Ok(value.is_true())
}

/// What an expression comes to.
pub(super) fn value(expression: &str, context: &Context) -> Result<Value, String> {
    growth::alone(expression)?;
    let parsed = ENGINE.compile_expression_owned(expression.to_owned()).map_err(|e| told(&e))?;
    let value = parsed.eval(minijinja::Value::from(Serde(context))).map_err(|e| told(&e))?;
    let mut text = Bounded { text: Vec::new(), most: LARGEST };
    serde_json::to_writer(&mut text, &value).map_err(|e| {
        if e.is_io() {
            format!("what it comes to has more than {} MiB", LARGEST >> 20)
        } else {
            e.to_string()
        }
    })?;
    serde_json::from_slice(&text.text).map_err(|e| e.to_string())
}

/// The name that is all of a word: `{{ name }}`.
pub(super) fn whole(word: &str) -> Option<&str> {
    let name = word.trim().strip_prefix("{{")?.strip_suffix("}}")?.trim();
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'.';
    (!name.is_empty() && name.bytes().all(letter)).then_some(name)
}

/// What stands at a path of names.
pub(super) fn find<'a>(context: &'a Context, path: &str) -> Option<&'a Value> {
    let (mut within, mut value) = (Some(context), None);
    for word in path.split('.') {
        value = within?.get(word);
        within = value?.as_object();
    }
    value
}

/// What names there are at a place.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    /// Parameters and variables.
    pub plain: BTreeSet<String>,
    /// Parameters that are secret.
    pub secret: BTreeSet<String>,
    /// Steps that come before.
    pub steps: BTreeSet<String>,
}

impl Names {
    /// Whether a name, or path of names, means something; else what is wrong with it. With `bare`, what is
    /// secret must not stand here.
    pub(super) fn check(&self, path: &str, bare: bool) -> Result<(), String> {
        let mut words = path.split('.');
        let (root, second, third) = (words.next().unwrap_or_default(), words.next(), words.next());
        match (root, second) {
            ("fact", Some(fact)) => known("fact", fact, FACTS),
            ("host", Some(word)) => known("word about a host", word, HOST),
            ("fact" | "host" | "step", None) => Err(format!(
                "after '{root}' comes a dot and a name, such as {root}.{}",
                match root {
                    "fact" => "os",
                    "host" => "name",
                    _ => "NAME.ok",
                }
            )),
            ("label", _) => Ok(()),
            ("step", Some(step)) => {
                if !self.steps.contains(step) {
                    let near = nearest(step, self.steps.iter().map(String::as_str));
                    return Err(format!("no step before this one is called '{step}'{near}"));
                }
                third.map_or(Ok(()), |word| known("word about a step", word, STEP))
            }
            (name, _) if FUNCTIONS.contains(&name) => Ok(()),
            (name, _) if bare && self.secret.contains(name) => Err(format!(
                "'{name}' is a secret, and everybody on the host could read it here; it can stand in a line, a \
                 script, a pushed file and env"
            )),
            (name, _) if self.plain.contains(name) => Ok(()),
            (name, _) => {
                let near = nearest(name, self.plain.iter().map(String::as_str));
                Err(format!("there is no parameter '{name}'{near}"))
            }
        }
    }
}

fn known(what: &str, word: &str, all: &[&str]) -> Result<(), String> {
    if all.contains(&word) {
        return Ok(());
    }
    let near = nearest(word, all.iter().copied());
    let hint = if near.is_empty() { format!("; there are: {}", all.join(", ")) } else { near };
    Err(format!("unknown {what} '{word}'{hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn context() -> Context {
        let value =
            json!({"port": 80, "names": ["a", "b"], "fact": {"os": "debian"}, "evil": "{{port}}"});
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_template_knows_names_conditions_and_loops() {
        let text = "listen {{port}};\n{% for n in names %}\nname {{n}};\n{% endfor %}\n";
        assert_eq!(render(text, &context()).unwrap(), "listen 80;\nname a;\nname b;\n");
        assert_eq!(names(text).unwrap().into_iter().collect::<Vec<_>>(), ["names", "port"]);
        assert_eq!(
            names_of_expression("fact.os == 'debian'").unwrap(),
            ["fact.os".to_owned()].into()
        );
        assert!(holds("fact.os in ['debian', 'ubuntu'] and port > 79", &context()).unwrap());
        assert_eq!(value("'x' if port == 80 else 'y'", &context()).unwrap(), json!("x"));
    }

    #[test]
    fn what_is_not_defined_is_an_error_and_a_value_is_no_template() {
        assert!(render("{{nothing}}", &context()).unwrap_err().contains("undefined"));
        assert!(holds("nothing", &context()).is_err());
        assert_eq!(render("{{evil}}", &context()).unwrap(), "{{port}}");
        assert_eq!(names("a\nb {% if %}").unwrap_err().0, 2);
    }

    #[test]
    fn a_template_comes_to_an_end() {
        let text = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
        assert!(render(text, &context()).unwrap_err().contains("fuel"));
    }

    #[test]
    fn a_template_cannot_take_all_memory() {
        let context = json!({"text": "x".repeat(60_000)}).as_object().unwrap().clone();
        let text = "{% for a in range(1000) %}{{ text }}{% endfor %}";
        assert!(render(text, &context).unwrap_err().contains("1 MiB"));
        assert!(render("{% set ns = namespace(x=text) %}", &context).is_err());
        assert!(value("text * 1000", &context).unwrap_err().contains("1 MiB"));
        assert!(value("text ~ text", &context).is_ok());
        assert!(holds("text * other", &context).is_err());
        assert!(names("{% set x = 1 %}").is_err() && names_of_expression("x * y").is_err());
    }

    #[test]
    fn only_a_name_alone_is_a_whole_word() {
        assert_eq!(whole("{{ names }}"), Some("names"));
        assert_eq!(whole("{{fact.addresses}}"), Some("fact.addresses"));
        assert_eq!(
            (whole("x{{names}}"), whole("{{a}}{{b}}"), whole("{{a|upper}}")),
            (None, None, None)
        );
        assert_eq!(find(&context(), "fact.os"), Some(&json!("debian")));
    }

    #[test]
    fn a_name_that_is_none_is_told_with_the_nearest() {
        let names = Names {
            plain: ["port".into(), "key".into()].into(),
            secret: ["key".into()].into(),
            steps: ["install".into()].into(),
        };
        assert_eq!(
            names.check("prot", false).unwrap_err(),
            "there is no parameter 'prot'; did you mean 'port'?"
        );
        assert!(names.check("fact.oss", false).unwrap_err().contains("did you mean 'os'"));
        assert!(names.check("step.later.ok", false).unwrap_err().contains("no step before"));
        assert!(names.check("step.install.codee", false).unwrap_err().contains("'code'"));
        assert!(names.check("key", true).unwrap_err().contains("secret"));
        assert_eq!(names.check("key", false), Ok(()));
        assert!(names.check("fact", false).unwrap_err().contains("fact.os"));
    }
}
