//! Parameters in lines and scripts of a shell: each becomes a variable of the environment, and where it stood,
//! a reference to that variable in quotes. A value is therefore never read as program text by that shell, and is
//! never split into several words.
//!
//! The reader below knows only as much of a shell's grammar as it takes to put the quotes right. Where it cannot
//! (within `'…'`, backquotes, here-documents and `${…}`) a parameter is refused. Were it ever wrong about where it
//! is, a value might be split at blanks; it would still not be run.

use std::collections::BTreeSet;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// One text.
    One,
    /// A number, which may also stand in arithmetic.
    Number,
    /// So many texts.
    Many(usize),
}

/// A text for a shell.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Shell {
    /// With references to variables in the place of names.
    pub text: String,
    /// The names.
    pub names: BTreeSet<String>,
}

/// Something that cannot be done, at a byte of the text.
pub(super) type Wrong = (usize, String);

/// The variable of a name: `port` is `CMDR_PARAM_PORT`, `fact.os` is `CMDR_FACT_OS`.
pub(super) fn variable(name: &str) -> String {
    let whole = if name.contains('.') { name.to_owned() } else { format!("param.{name}") };
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    format!("CMDR_{}", whole.chars().map(letter).collect::<String>())
}

/// Whether a script is one for a shell: by its `#!` line, and without one it is.
pub(super) fn is_shell(script: &str) -> bool {
    let Some(line) = script.strip_prefix("#!") else { return true };
    let mut words = line.lines().next().unwrap_or_default().split_whitespace();
    let name =
        |word: Option<&str>| word.and_then(|w| w.rsplit('/').next()).unwrap_or_default().to_owned();
    let mut program = name(words.next());
    if program == "env" {
        program = name(words.find(|word| !word.starts_with('-') && !word.contains('=')));
    }
    ["sh", "bash", "dash", "ash", "ksh", "mksh", "zsh"].contains(&program.as_str())
}

/// The names between `{{` and `}}` of a text that is for no shell: there can be none.
pub(super) fn refuse(script: &str) -> Result<(), Wrong> {
    let mut from = 0;
    while let Some(at) = script[from..].find("{{").map(|at| from + at) {
        if script[at..].len() > 2
            && matches!(token(&script[at..]), Some((name, _)) if is_name(name))
        {
            let (name, _) = token(&script[at..]).unwrap_or_default();
            return Err((
                at,
                format!(
                    "a parameter is put into scripts of shells alone; here read the variable {} of the \
                     environment",
                    variable(name)
                ),
            ));
        }
        from = at + 2;
    }
    Ok(())
}

/// Whether a text is a name, or a path of names.
fn is_name(text: &str) -> bool {
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    let word = |word: &str| {
        word.bytes().all(letter) && word.bytes().next().is_some_and(|b| !b.is_ascii_digit())
    };
    !text.is_empty() && text.split('.').all(word)
}

/// What stands between `{{` and `}}` at the beginning of a text, and where it ends.
fn token(text: &str) -> Option<(&str, usize)> {
    let end = text.find("}}")?;
    let within = text.get(2..end)?;
    (!within.contains('\n')).then(|| (within.trim(), end + 2))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Where words are.
    Words,
    /// In `"…"`.
    Quoted,
    /// In `$(…)`: words again.
    Command,
    /// In `(…)` among words.
    Group,
    /// In `${…}`.
    Braces,
    /// In `$((…))`, with so many parentheses open.
    Sum(u32),
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    out: Shell,
    places: Vec<Place>,
    /// Here-documents that begin on the next line: their last lines, and whether tabs before it do not count.
    documents: Vec<(String, bool)>,
    sort: &'a dyn Fn(&str) -> Result<Sort, String>,
}

/// Puts references in the place of names; `sort` says what a name stands for, or why it is none.
pub(super) fn refer(
    text: &str,
    sort: &dyn Fn(&str) -> Result<Sort, String>,
) -> Result<Shell, Wrong> {
    let out = Shell::default();
    let reader = Reader { text, at: 0, out, places: Vec::new(), documents: Vec::new(), sort };
    reader.read()
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn place(&self) -> Place {
        self.places.last().copied().unwrap_or(Place::Words)
    }

    /// Takes so many bytes as they are.
    fn copy(&mut self, bytes: usize) {
        let end = self.text.ceil_char_boundary((self.at + bytes).min(self.text.len()));
        self.out.text.push_str(&self.text[self.at..end]);
        self.at = end;
    }

    fn enter(&mut self, bytes: usize, place: Place) {
        self.copy(bytes);
        self.places.push(place);
    }

    fn leave(&mut self, bytes: usize) {
        self.copy(bytes);
        self.places.pop();
    }

    fn read(mut self) -> Result<Shell, Wrong> {
        while self.at < self.text.len() {
            let rest = self.rest();
            if rest.starts_with("\\{{") {
                // Two braces that are no name's.
                self.at += 1;
                self.copy(2);
                continue;
            }
            if rest.starts_with("${{") {
                return Err((self.at, "before '{{' stands no '$': write {{port}}".to_owned()));
            }
            if rest.starts_with("{{") {
                self.name()?;
                continue;
            }
            let place = self.place();
            let words = matches!(place, Place::Words | Place::Command | Place::Group);
            match rest.as_bytes()[0] {
                b'\\' => self.copy(2),
                b'\'' if words => self.single()?,
                b'\'' if place == Place::Braces => self.single()?,
                b'"' if place == Place::Quoted => self.leave(1),
                b'"' => self.enter(1, Place::Quoted),
                b'`' => self.backquotes()?,
                b'$' if rest.starts_with("$((") => self.enter(3, Place::Sum(0)),
                b'$' if rest.starts_with("$(") => self.enter(2, Place::Command),
                b'$' if rest.starts_with("${") => self.enter(2, Place::Braces),
                b'}' if place == Place::Braces => self.leave(1),
                b'(' if words && rest.starts_with("((") => self.enter(2, Place::Sum(0)),
                b'(' if words => self.enter(1, Place::Group),
                b')' if matches!(place, Place::Command | Place::Group) => self.leave(1),
                b'(' | b')' if matches!(place, Place::Sum(_)) => self.parenthesis(),
                b'#' if words && self.begins_word() => self.comment(),
                b'<' if words && rest.starts_with("<<<") => self.copy(3),
                b'<' if words && rest.starts_with("<<") => self.document()?,
                b'\n' => {
                    self.copy(1);
                    self.documents()?;
                }
                _ => self.copy(1),
            }
        }
        Ok(self.out)
    }

    fn begins_word(&self) -> bool {
        let before = self.text[..self.at].chars().next_back();
        before.is_none_or(|c| c.is_whitespace() || matches!(c, ';' | '&' | '|' | '(' | ')'))
    }

    fn ends_word(&self, at: usize) -> bool {
        let after = self.text[at..].chars().next();
        after.is_none_or(|c| {
            c.is_whitespace() || matches!(c, ';' | '&' | '|' | '(' | ')' | '<' | '>')
        })
    }

    fn parenthesis(&mut self) {
        let Some(Place::Sum(open)) = self.places.last_mut() else { return self.copy(1) };
        match (self.text.as_bytes()[self.at], *open) {
            (b'(', _) => *open += 1,
            (_, 0) => return self.leave(if self.rest().starts_with("))") { 2 } else { 1 }),
            _ => *open -= 1,
        }
        self.copy(1);
    }

    fn name(&mut self) -> Result<(), Wrong> {
        let at = self.at;
        let (name, length) = match token(self.rest()) {
            Some((name, length)) if is_name(name) => (name.to_owned(), length),
            _ => return Err((at, "after '{{' comes a name and '}}', such as {{port}}; for two braces as they are write \\{{".to_owned())),
        };
        let sort = (self.sort)(&name).map_err(|why| (at, why))?;
        let variable = variable(&name);
        let place = self.place();
        let plain = match (place, sort) {
            (Place::Braces, _) => {
                return Err((
                    at,
                    format!(
                        "a parameter cannot stand within ${{…}}; use the variable {variable} there"
                    ),
                ));
            }
            (Place::Sum(_), Sort::Number) => true,
            (Place::Sum(_), _) => {
                return Err((
                    at,
                    "in arithmetic, shells run what is in a text; only a number can stand here"
                        .to_owned(),
                ));
            }
            (_, Sort::Many(count)) => {
                if place == Place::Quoted || !self.begins_word() || !self.ends_word(at + length) {
                    return Err((
                        at,
                        "a list stands for several words: put blanks around it and no quotes"
                            .to_owned(),
                    ));
                }
                let all: Vec<_> = (1..=count).map(|n| format!("\"${{{variable}_{n}}}\"")).collect();
                self.out.text.push_str(&all.join(" "));
                self.at += length;
                self.out.names.insert(name);
                return Ok(());
            }
            (place, _) => place == Place::Quoted,
        };
        let quote = if plain { "" } else { "\"" };
        self.out.text.extend([quote, "${", &variable, "}", quote]);
        self.at += length;
        self.out.names.insert(name);
        Ok(())
    }

    /// Takes a part in which no name may stand, up to a byte of the text.
    fn bare(&mut self, end: usize, why: &str) -> Result<(), Wrong> {
        while self.at < end {
            if self.rest().starts_with("\\{{") {
                self.at += 1;
                self.copy(2);
            } else if self.rest().starts_with("{{") {
                return Err((self.at, why.to_owned()));
            } else {
                self.copy(1);
            }
        }
        Ok(())
    }

    fn single(&mut self) -> Result<(), Wrong> {
        let end =
            self.text[self.at + 1..].find('\'').map_or(self.text.len(), |at| self.at + at + 2);
        self.bare(
            end,
            "nothing is put into '…': use \"…\" or no quotes; for two braces as they are write \\{{",
        )
    }

    fn backquotes(&mut self) -> Result<(), Wrong> {
        let bytes = self.text.as_bytes();
        let mut end = self.at + 1;
        while end < bytes.len() && bytes[end] != b'`' {
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        let end = self.text.ceil_char_boundary((end + 1).min(self.text.len()));
        self.bare(end, "nothing is put into `…`: write $(…)")
    }

    fn comment(&mut self) {
        let end = self.rest().find('\n').unwrap_or(self.rest().len());
        self.copy(end);
    }

    fn document(&mut self) -> Result<(), Wrong> {
        let begin = self.at;
        self.copy(2);
        let tabs = self.rest().starts_with('-');
        let mut end = usize::from(tabs);
        let bytes = self.rest().as_bytes();
        while matches!(bytes.get(end), Some(b' ' | b'\t')) {
            end += 1;
        }
        let word = self.rest()[end..].split(|c: char| c.is_whitespace() || ";&|<>()".contains(c));
        let word = word.into_iter().next().unwrap_or_default().to_owned();
        if word.contains("{{") {
            let why = "nothing is put into the word that ends a here-document: write it as it is";
            return Err((begin, why.to_owned()));
        }
        self.copy(end + word.len());
        self.documents.push((word.replace(['"', '\'', '\\'], ""), tabs));
        Ok(())
    }

    fn documents(&mut self) -> Result<(), Wrong> {
        for (last, tabs) in std::mem::take(&mut self.documents) {
            while self.at < self.text.len() {
                let end = self.rest().find('\n').map_or(self.text.len(), |at| self.at + at + 1);
                let line = self.text[self.at..end].trim_end_matches('\n');
                let over = last == if tabs { line.trim_start_matches('\t') } else { line };
                self.bare(end, "nothing is put into a here-document: push a file, or write \\{{ for two braces")?;
                if over {
                    break;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::process::Command;

    fn sort(name: &str) -> Result<Sort, String> {
        match name {
            "n" => Ok(Sort::Number),
            "all" => Ok(Sort::Many(2)),
            "x" | "y" | "fact.os" => Ok(Sort::One),
            _ => Err(format!("no {name}")),
        }
    }

    fn text(line: &str) -> String {
        refer(line, &sort).unwrap().text
    }

    fn wrong(line: &str) -> (usize, String) {
        refer(line, &sort).unwrap_err()
    }

    #[test]
    fn a_name_becomes_a_reference_in_quotes_wherever_it_stands() {
        assert_eq!(text("rm {{x}}"), "rm \"${CMDR_PARAM_X}\"");
        assert_eq!(text("rm /a/{{ x }}/b"), "rm /a/\"${CMDR_PARAM_X}\"/b");
        assert_eq!(text("echo \"a {{x}} b\""), "echo \"a ${CMDR_PARAM_X} b\"");
        assert_eq!(text("a=\"$(cat {{x}})\""), "a=\"$(cat \"${CMDR_PARAM_X}\")\"");
        assert_eq!(text("echo $((1 + {{n}}))"), "echo $((1 + ${CMDR_PARAM_N}))");
        assert_eq!(text("is {{fact.os}}"), "is \"${CMDR_FACT_OS}\"");
        assert_eq!(text("go {{all}}; x"), "go \"${CMDR_PARAM_ALL_1}\" \"${CMDR_PARAM_ALL_2}\"; x");
        assert_eq!(text("# {{nothing}}\nls # {{x}}"), "# {{nothing}}\nls # {{x}}");
        assert_eq!(text("docker ps --format '\\{{.Names}}'"), "docker ps --format '{{.Names}}'");
        assert_eq!(text("cat <<E\n\\{{x}}\nE\n{{x}}"), "cat <<E\n{{x}}\nE\n\"${CMDR_PARAM_X}\"");
    }

    #[test]
    fn where_quotes_cannot_be_put_right_a_name_is_refused_with_what_to_do() {
        assert!(wrong("echo '{{x}}'").1.contains("use \"…\""));
        assert!(wrong("echo `ls {{x}}`").1.contains("$(…)"));
        assert!(wrong("echo ${a:-{{x}}}").1.contains("CMDR_PARAM_X"));
        assert!(wrong("echo $((1 + {{x}}))").1.contains("arithmetic"));
        assert!(wrong("((a = {{x}}))").1.contains("arithmetic"));
        assert!(wrong("cat <<EOF\n{{x}}\nEOF").1.contains("here-document"));
        assert!(wrong("cat <<-'EOF' | sh\n\t{{x}}\n\tEOF").1.contains("here-document"));
        assert!(wrong("go a{{all}}").1.contains("several words"));
        assert!(wrong("go \"{{all}}\"").1.contains("several words"));
        assert_eq!(wrong("ab {{gone}}"), (3, "no gone".to_owned()));
        assert!(wrong("docker ps --format {{.Names}}").1.contains("\\{{"));
        assert!(wrong("echo {{x").1.contains("after '{{'"));
    }

    #[test]
    fn only_scripts_of_shells_take_parameters() {
        for script in ["", "ls", "#!/bin/sh\nls", "#!/usr/bin/env -S bash -e\n", "#! /bin/dash"] {
            assert!(is_shell(script), "{script}");
        }
        for script in ["#!/usr/bin/python3\n", "#!/usr/bin/env perl", "#!"] {
            assert!(!is_shell(script), "{script}");
        }
        let (at, why) = refuse("#!/usr/bin/python3\nprint('{{x}}', {{}})").unwrap_err();
        assert!(at == 26 && why.contains("CMDR_PARAM_X"), "{at} {why}");
        assert_eq!(refuse("#!/usr/bin/python3\nprint('{{}}'.format({{1}}))"), Ok(()));
    }

    /// What a shell prints for a line with this value.
    fn run(line: &str, value: &str) -> Vec<u8> {
        let shell = refer(line, &sort).unwrap();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &shell.text]).env_clear().env("PATH", "/usr/bin:/bin");
        command
            .env(variable("x"), value)
            .env("CMDR_PARAM_ALL_1", value)
            .env("CMDR_PARAM_ALL_2", "2");
        command.output().unwrap().stdout
    }

    #[test]
    fn no_value_is_ever_run_or_split() {
        let evil = [
            "$(echo pwned)",
            "`echo pwned`",
            "; echo pwned",
            "\"; echo pwned; \"",
            "'; echo pwned; '",
            "a  b",
            "*",
            "~",
            "$HOME",
            "\\",
            "a\nb",
            "&& echo pwned",
            "| echo pwned",
            "{{x}}",
            "#",
            "",
            "${IFS}",
            "<(echo pwned)",
            "!!",
            "-n",
        ];
        let lines = [
            ("printf '[%s]' {{x}}", "[", "]"),
            ("printf '[%s]' \"{{x}}\"", "[", "]"),
            ("printf '[%s]' a{{x}}b", "[a", "b]"),
            ("v={{x}}; printf '[%s]' \"$v\"", "[", "]"),
            ("printf '[%s]' \"$(printf '%s.' {{x}})\"", "[", ".]"),
            ("case {{x}} in {{x}}) printf '[%s]' {{x}};; esac", "[", "]"),
            ("f() { printf '[%s]' \"$1\"; }; f {{x}} # it's {{x}}", "[", "]"),
            ("(printf '[%s]' {{x}})", "[", "]"),
            ("cat <<'E' >/dev/null\n' \" `\nE\nprintf '[%s]' {{x}}", "[", "]"),
            ("printf '[%s]' {{all}}", "[", "][2]"),
        ];
        for (line, before, after) in lines {
            for value in evil {
                let expected = format!("{before}{value}{after}").into_bytes();
                let got = run(line, value);
                assert_eq!(
                    got,
                    expected,
                    "{line} with {value:?}: {}",
                    String::from_utf8_lossy(&got)
                );
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_to_its_end_and_without_names_stays_as_it_is(line in "[ -~\n]{0,80}") {
            if let Ok(shell) = refer(&line, &sort) && shell.names.is_empty() && !line.contains("\\{{") {
                prop_assert_eq!(shell.text, line);
            }
        }

        #[test]
        fn a_value_never_stands_in_the_text(
            before in "[a-z\"'$({})`<# \n;\\\\]{0,24}", after in "[a-z\"'$({})`<# \n;\\\\]{0,24}",
        ) {
            // Whatever stands around it, a name ends as a reference or is refused.
            if let Ok(shell) = refer(&format!("{before}{{{{x}}}}{after}"), &sort) {
                let kept = shell.text.contains("${CMDR_PARAM_X}") || shell.text.contains("{{x}}");
                prop_assert!(kept, "{}", shell.text);
                // What is left as it is stands in a comment, or was meant so.
                let meant = shell.text.contains('#') || before.contains('\\');
                prop_assert!(meant || !shell.text.contains("{{x}}"));
            }
        }
    }
}
