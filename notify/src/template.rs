//! Templates of titles and bodies, ours and those of operators. The engine is minijinja without anything that reads
//! files; steps are counted, what could grow without bound is no part of the language, what is not defined is an error.

use crate::config::Lang;
use crate::content::{Content, Entry, Said, Severity};
use crate::escape::{Markup, escape};
use jiff::Timestamp;
use minijinja::value::{Value, ValueKind};
use minijinja::{AutoEscape, Environment, UndefinedBehavior, context};
use std::io;

/// Steps of one template; an alert takes about twenty.
const FUEL: u64 = 100_000;
/// Bytes that come out of a template at most, before it is cut for its place.
const LARGEST: usize = 256 * 1024;
/// What may stand after `{%`.
const TAGS: &[&str] = &["if", "elif", "else", "endif", "for", "endfor"];

/// Our titles: the same everywhere, without markup.
pub(crate) const TITLE: &str = "[{{ mark }}] {% if entries|length == 1 and not more %}{{ entries[0].message }}{% else %}{{ summary }}{% endif %}";

/// Our body in each markup.
pub(crate) fn body(markup: Markup) -> &'static str {
    match markup {
        Markup::Plain => {
            "{% for e in entries %}{{ e.said }} [{{ e.severity }}] {{ e.message }}{% if e.value %} ({{ e.value }}){% endif %}, {{ e.host }}, {{ e.since }}
{% endfor %}{% if more %}{{ others }}
{% endif %}{% if link %}{{ link }}
{% endif %}"
        }
        Markup::Html => {
            "{% for e in entries %}<b>{{ e.said }}</b> [{{ e.severity }}] {{ e.message }}{% if e.value %} (<b>{{ e.value }}</b>){% endif %}, {{ e.host }}, <i>{{ e.since }}</i>
{% endfor %}{% if more %}{{ others }}
{% endif %}{% if link %}<a href=\"{{ link }}\">{{ open }}</a>
{% endif %}"
        }
        Markup::Slack => {
            "{% for e in entries %}• *{{ e.said }}* [{{ e.severity }}] {{ e.message }}{% if e.value %} (*{{ e.value }}*){% endif %}, {{ e.host }}, {{ e.since }}
{% endfor %}{% if more %}{{ others }}
{% endif %}{% if link %}<{{ link }}|{{ open }}>
{% endif %}"
        }
        Markup::Dialect => {
            "{% for e in entries %}- **{{ e.said }}** {{ e.severity }}: {{ e.message }}{% if e.value %} (**{{ e.value }}**){% endif %}, {{ e.host }}, {{ e.since }}
{% endfor %}{% if more %}
{{ others }}
{% endif %}{% if link %}
[{{ open }}]({{ link }})
{% endif %}"
        }
    }
}

fn engine<'a>(markup: Markup) -> Environment<'a> {
    let mut engine = Environment::new();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.set_fuel(Some(FUEL));
    engine.set_auto_escape_callback(|_| AutoEscape::None);
    for name in [
        "format", "batch", "slice", "pprint", "replace", "join", "indent", "safe", "escape", "e",
        "tojson", "xmlattr",
    ] {
        engine.remove_filter(name);
    }
    for name in ["debug", "namespace", "range", "dict"] {
        engine.remove_global(name);
    }
    // Every value that is filled in goes through here, whatever a template does with it before.
    engine.set_formatter(move |out, _, value| {
        let text = match value.kind() {
            ValueKind::Undefined => {
                return Err(minijinja::Error::from(minijinja::ErrorKind::UndefinedError));
            }
            ValueKind::None => String::new(),
            // Only a link of ours is; there is no filter that makes anything so.
            _ if value.is_safe() => {
                return out.write_str(&value.to_string()).map_err(minijinja::Error::from);
            }
            _ => value.to_string(),
        };
        out.write_str(&escape(&text, markup)).map_err(minijinja::Error::from)
    });
    engine
}

/// Whether a template is one, told with its line where it is not.
pub(crate) fn check(template: &str) -> Result<(), String> {
    let mut rest = template;
    while let Some(at) = rest.find(['{']) {
        rest = &rest[at + 1..];
        let line = || template[..template.len() - rest.len()].matches('\n').count() + 1;
        let (code, tag) = match rest.as_bytes().first() {
            Some(b'{') => (rest[1..].split("}}").next().unwrap_or_default(), false),
            Some(b'%') => (rest[1..].split("%}").next().unwrap_or_default(), true),
            _ => continue,
        };
        if code.contains(['*', '~', '+']) {
            return Err(format!("line {}: *, ~ and + are not part of these templates", line()));
        }
        let name = code.trim_start_matches('-').split_whitespace().next().unwrap_or_default();
        if tag && !TAGS.contains(&name.trim_end_matches('-')) {
            let known = TAGS.join(", ");
            return Err(format!("line {}: behind `{{%` may stand: {known}", line()));
        }
        if tag && code.split_whitespace().any(|word| word == "recursive") {
            return Err(format!("line {}: loops are not recursive", line()));
        }
    }
    // What it comes to for an alert shows names that do not exist.
    let entry = Entry { message: "x".to_owned(), ..Entry::default() };
    let content = Content { entries: vec![entry], ..Content::default() };
    render(template, &content, Lang::En, Markup::Plain).map(drop)
}

struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > LARGEST {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "too much comes out of it"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a template comes to.
pub(crate) fn render(
    template: &str,
    content: &Content,
    lang: Lang,
    markup: Markup,
) -> Result<String, String> {
    let engine = engine(markup);
    let told = |e: &minijinja::Error| {
        let line = e.line().unwrap_or(1);
        match (e.kind(), e.detail()) {
            (minijinja::ErrorKind::WriteFailure, _) => {
                format!("line {line}: more than {} KiB come out of it", LARGEST >> 10)
            }
            (kind, Some(detail)) => format!("line {line}: {kind}: {detail}"),
            (kind, None) => format!("line {line}: {kind}"),
        }
    };
    let parsed = engine.template_from_str(template).map_err(|e| told(&e))?;
    let mut out = Bounded(Vec::new());
    parsed.render_captured_to(values(content, lang, markup), &mut out).map_err(|e| told(&e))?;
    String::from_utf8(out.0).map_err(|e| e.to_string())
}

/// The word for a severity.
fn severity(of: Severity, lang: Lang) -> &'static str {
    match (of, lang) {
        (Severity::Info, Lang::En) => "INFO",
        (Severity::Warning, Lang::En) => "WARNING",
        (Severity::Critical, Lang::En) => "CRITICAL",
        (Severity::Info, Lang::Zh) => "提示",
        (Severity::Warning, Lang::Zh) => "警告",
        (Severity::Critical, Lang::Zh) => "严重",
    }
}

fn said(of: Said, lang: Lang) -> &'static str {
    match (of, lang) {
        (Said::Fired, Lang::En) => "firing",
        (Said::Resolved, Lang::En) => "resolved",
        (Said::Repeated, Lang::En) => "still firing",
        (Said::Escalated, Lang::En) => "escalated",
        (Said::Flapping, Lang::En) => "flapping",
        (Said::Fired, Lang::Zh) => "告警",
        (Said::Resolved, Lang::Zh) => "已恢复",
        (Said::Repeated, Lang::Zh) => "仍在告警",
        (Said::Escalated, Lang::Zh) => "升级",
        (Said::Flapping, Lang::Zh) => "抖动",
    }
}

fn time(ms: u64) -> String {
    let at = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    at.map_or_else(String::new, |at| at.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

/// A link as it may stand in that markup; none that is odd.
fn link(address: Option<&str>, markup: Markup) -> Value {
    let Some(address) = address else { return Value::from("") };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~:/?#=&%,+".contains(c);
    if !address.starts_with("http") || !address.chars().all(plain) || address.len() > 1000 {
        return Value::from("");
    }
    match markup {
        Markup::Dialect | Markup::Plain => Value::from_safe_string(address.to_owned()),
        Markup::Html | Markup::Slack => Value::from(address),
    }
}

fn values(content: &Content, lang: Lang, markup: Markup) -> Value {
    let (firing, resolved) = content.counts();
    let ok = if lang == Lang::En { "RESOLVED" } else { "已恢复" };
    let mark = content.worst().map_or(ok, |worst| severity(worst, lang));
    let summary = match lang {
        Lang::En => format!("{firing} firing, {resolved} resolved"),
        Lang::Zh => format!("{firing} 个告警,{resolved} 个已恢复"),
    };
    let group =
        if content.group.is_empty() { String::new() } else { format!(" ({})", content.group) };
    let others = match lang {
        Lang::En => format!("and {} more", content.more),
        Lang::Zh => format!("还有 {} 个", content.more),
    };
    let entries: Vec<Value> = content
        .entries
        .iter()
        .map(|e| {
            context! {
                said => said(e.said, lang), severity => severity(e.severity, lang), rule => e.rule.clone(), host => e.host.clone(),
                instance => e.instance.clone(), message => e.message.clone(), value => e.value.clone(), since => time(e.since_ms),
                until => e.until_ms.map(time).unwrap_or_default(), labels => e.labels.clone(), alert => e.alert.clone(),
                resolved => e.said == Said::Resolved, critical => e.severity == Severity::Critical,
            }
        })
        .collect();
    context! {
        id => content.id.clone(), group => content.group.clone(), level => content.level, entries, more => content.more,
        mark, summary => format!("{summary}{group}"), others, firing, resolved,
        link => link(content.link.as_deref(), markup),
        open => if lang == Lang::En { "open" } else { "查看" },
        made => time(content.made_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(message: &str) -> Content {
        let entry =
            Entry { message: message.to_owned(), host: "web1".to_owned(), ..Entry::default() };
        let link = Some("https://hub.example/a?b=1&c#d".to_owned());
        Content { entries: vec![entry], link, ..Content::default() }
    }

    #[test]
    fn what_is_filled_in_is_harmless_whatever_a_template_does() {
        let evil = content("<b>{{ 7 }}</b> & *x*");
        for template in [
            "{{ entries[0].message }}",
            "{{ entries[0].message|upper|lower }}",
            "{{ entries|map(attribute='message')|first }}",
        ] {
            let text = render(template, &evil, Lang::En, Markup::Html).unwrap();
            assert_eq!(text, "&lt;b&gt;{{ 7 }}&lt;/b&gt; &amp; *x*", "{template}");
        }
        assert!(!render("{{ entries }}", &evil, Lang::En, Markup::Html).unwrap().contains('<'));
        assert!(check("{{ entries[0].message|safe }}").is_err());
    }

    #[test]
    fn templates_come_to_an_end_and_say_what_is_wrong() {
        for (bad, what) in [
            ("a\n{{ nothing }}", "line 2"),
            ("{% set x = 1 %}", "behind `{%` may stand"),
            ("{% filter upper %}x{% endfilter %}", "behind `{%` may stand"),
            ("{{ mark * 1000 }}", "not part"),
            ("{{ mark ~ mark }}", "not part"),
            ("{% for a in range(9) %}{% endfor %}", "range"),
            ("{% if %}", "line 1"),
            ("{{ entries[5].message }}", "line 1"),
        ] {
            let told = check(bad).unwrap_err();
            assert!(told.contains(what), "{bad}: {told}");
        }
        let nested = "{% for a in entries %}".repeat(5) + "x" + &"{% endfor %}".repeat(5);
        let many = Content { entries: vec![Entry::default(); 100], ..Content::default() };
        assert!(render(&nested, &many, Lang::En, Markup::Plain).unwrap_err().contains("fuel"));
        let long = Content {
            entries: vec![Entry { message: "x".repeat(10_000), ..Entry::default() }; 100],
            ..Content::default()
        };
        assert!(
            render(body(Markup::Plain), &long, Lang::En, Markup::Plain)
                .unwrap_err()
                .contains("256 KiB")
        );
    }

    #[test]
    fn our_texts_are_there_in_both_languages() {
        for (lang, title, word) in
            [(Lang::En, "[WARNING] full", "firing"), (Lang::Zh, "[警告] full", "告警")]
        {
            assert_eq!(render(TITLE, &content("full"), lang, Markup::Plain).unwrap(), title);
            for markup in [Markup::Plain, Markup::Html, Markup::Slack, Markup::Dialect] {
                let text = render(body(markup), &content("full"), lang, markup).unwrap();
                assert!(text.contains(word) && text.contains("1970-01-01 00:00 UTC"), "{text}");
                assert!(text.contains("https://hub.example/a?b=1&"), "{text}");
            }
        }
        let mut two = content("full");
        two.entries.push(Entry { said: Said::Resolved, ..Entry::default() });
        two.group = "rule=disk".to_owned();
        assert_eq!(
            render(TITLE, &two, Lang::En, Markup::Plain).unwrap(),
            "[WARNING] 1 firing, 1 resolved (rule=disk)"
        );
    }
}
