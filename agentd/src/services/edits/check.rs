//! What is looked at before a file of the system is replaced: mistakes that would leave the host without names or
//! without variables. Errors are refused; warnings can be saved all the same.

use super::super::environment::line as variable;
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::edits::Problem;
use cmdr_protocol::hosts_file::{address, is_name};
use std::collections::HashMap;
use std::net::IpAddr;

/// Problems that are told of one text.
const MOST: usize = 100;

#[derive(Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn push(&mut self, line: usize, what: String, warning: bool) {
        if self.0.len() < MOST {
            self.0.push(Problem { line: u32::try_from(line).unwrap_or(u32::MAX), what, warning });
        }
    }
    fn error(&mut self, line: usize, what: impl Into<String>) {
        self.push(line, what.into(), false);
    }
    fn warning(&mut self, line: usize, what: impl Into<String>) {
        self.push(line, what.into(), true);
    }
}

fn shown(text: &str) -> String {
    clean_to_width(text, 60)
}

/// Whether a hosts file says where the machine itself is.
fn knows_itself(text: &str) -> bool {
    text.lines().any(|line| {
        let line = line.split('#').next().unwrap_or("");
        let mut words = line.split_whitespace();
        let loopback = words.next().and_then(address).is_some_and(|a| a.is_loopback());
        loopback && words.any(|name| name.eq_ignore_ascii_case("localhost"))
    })
}

/// A hosts file, and the one that it replaces.
pub(super) fn hosts(text: &str, before: Option<&str>) -> Vec<Problem> {
    let mut problems = Problems::default();
    let mut known: HashMap<(String, bool), (IpAddr, usize)> = HashMap::new();
    for (n, line) in text.lines().enumerate() {
        let n = n + 1;
        let line = line.split('#').next().unwrap_or("");
        if line.chars().any(|c| c.is_control() && c != '\t' && c != '\r') {
            problems.error(n, "there is a control character");
            continue;
        }
        let mut words = line.split_whitespace();
        let Some(first) = words.next() else { continue };
        let Some(address) = address(first) else {
            problems.error(n, format!("'{}' is no address", shown(first)));
            continue;
        };
        let mut any = false;
        for name in words {
            any = true;
            if !is_name(name) {
                problems.error(n, format!("'{}' is no name of a host", shown(name)));
                continue;
            }
            let lower = name.trim_end_matches('.').to_ascii_lowercase();
            if lower == "localhost" && !address.is_loopback() {
                problems
                    .error(n, format!("localhost would be {address}, which is not this machine"));
            }
            match known.get(&(lower.clone(), address.is_ipv4())) {
                Some((other, at)) if *other != address => problems.warning(
                    n,
                    format!(
                        "{} is {other} in line {at} already, and the first counts",
                        shown(name)
                    ),
                ),
                Some(_) => {}
                None => drop(known.insert((lower, address.is_ipv4()), (address, n))),
            }
        }
        if !any {
            problems.error(n, format!("{address} has no name"));
        }
    }
    if !knows_itself(text) {
        if before.is_some_and(knows_itself) {
            problems.error(0, "localhost would not be found any more; add: 127.0.0.1 localhost");
        } else {
            problems.warning(0, "localhost is not in it");
        }
    }
    problems.0
}

/// A file of variables, and the one that it replaces.
pub(super) fn environment(text: &str, before: Option<&str>) -> Vec<Problem> {
    let mut problems = Problems::default();
    let mut known: HashMap<&str, usize> = HashMap::new();
    for (n, line) in text.lines().enumerate() {
        let n = n + 1;
        match variable::parse(line) {
            variable::Line::Empty => {}
            variable::Line::Odd => {
                problems.error(n, format!("'{}' is not NAME=VALUE", shown(line)));
            }
            variable::Line::Variable { name, raw } => {
                if let Some(at) = known.insert(name, n) {
                    problems.warning(n, format!("{name} is in line {at} too, and the last counts"));
                }
                let quote = raw.chars().next().filter(|c| matches!(c, '"' | '\''));
                if quote.is_some_and(|q| raw.len() < 2 || !raw.ends_with(q)) {
                    problems.warning(n, format!("the quote of {name} has no end"));
                }
                if raw.contains('#') {
                    problems.warning(n, format!("what follows the '#' in {name} may be left out"));
                }
                if raw.contains('$') {
                    problems.warning(n, format!("the '$' in {name} stands for itself here"));
                }
            }
        }
    }
    let has_path = |text: &str| {
        text.lines().any(|line| {
            matches!(variable::parse(line), variable::Line::Variable { name: "PATH", raw } if !raw.is_empty())
        })
    };
    if before.is_some_and(has_path) && !has_path(text) {
        problems.warning(0, "PATH would be gone or empty: programs may not be found any more");
    }
    problems.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(problems: &[Problem]) -> Vec<(u32, bool)> {
        problems.iter().map(|problem| (problem.line, problem.warning)).collect()
    }

    const GOOD: &str = "127.0.0.1 localhost\n::1 localhost ip6-localhost # itself\n\n\
        # a remark\n10.0.0.7\tdb1.example.org db1\r\nfe80::1%eth0 router\n";

    #[test]
    fn a_usual_hosts_file_is_let_through() {
        assert_eq!(hosts(GOOD, Some(GOOD)), []);
    }

    #[test]
    fn mistakes_in_a_hosts_file_are_told_with_their_lines() {
        let text = "127.0.0.1 localhost\n10.0.0 db1\n10.0.0.8\n10.0.0.9 -bad good\n\
            10.0.0.1 web1\n10.0.0.2 web1\n10.0.0.3 localhost\nf\u{1}oo bar\n";
        let wanted =
            [(2, false), (3, false), (4, false), (6, true), (7, false), (7, true), (8, false)];
        assert_eq!(told(&hosts(text, None)), wanted);
    }

    #[test]
    fn a_host_that_knew_itself_goes_on_doing_so() {
        assert_eq!(told(&hosts("10.0.0.1 a\n", Some(GOOD))), [(0, false)]);
        assert_eq!(told(&hosts("10.0.0.1 a\n", Some("10.0.0.2 b\n"))), [(0, true)]);
    }

    #[test]
    fn mistakes_in_variables_are_told_with_their_lines() {
        let before = "PATH=/bin\n";
        let text = "# all\nexport A=1\nB=\"x y\"\n\nB=2\nnonsense\nC='open\nD=a#b\nE=$PATH\n1X=2\n";
        let wanted =
            [(5, true), (6, false), (7, true), (8, true), (9, true), (10, false), (0, true)];
        assert_eq!(told(&environment(text, Some(before))), wanted);
        assert_eq!(environment("PATH=/bin\nLANG=C\n", Some(before)), []);
    }

    proptest! {
        #[test]
        fn any_text_is_looked_at(text in "[0-9a-z.:# %=$'\"\n\t-]{0,200}") {
            assert!(hosts(&text, Some(&text)).len() <= MOST);
            assert!(environment(&text, Some(&text)).len() <= MOST);
        }
    }
}
