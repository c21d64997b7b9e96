//! What is to be recorded: rules, held in memory, checked and made ready, and changed only together
//! with the store. Asked for every request that leaves a trail; without rules that is one look.

use crate::records::{prefix, rule_key};
use crate::store::{Batch, Store, StoreError};
use cmdr_protocol::envelope::{Caller, Header};
use cmdr_protocol::exec::program_of;
use cmdr_protocol::hosts::Host;
use cmdr_protocol::recordings::{MAX_NAME, MAX_RULES, RECORDABLE, Rule};
use cmdr_protocol::roles::{MAX_PATTERN, MAX_PATTERNS};
use cmdr_protocol::selector::{Selector, glob};
use cmdr_protocol::{CallError, ErrorKind, Feed as _, exec, inside, sessions, ssh};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

/// What the rules that fit ask for, together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Their names.
    pub rules: Vec<String>,
    /// The longest that any of them wants it kept; 0 for as long as there is room.
    pub keep_days: u32,
    /// One of them is strict.
    pub strict: bool,
    /// One of them wants input.
    pub input: bool,
}

/// All rules.
#[derive(Debug)]
pub struct Rules {
    store: Store,
    any: AtomicBool,
    held: RwLock<BTreeMap<String, (Rule, Selector)>>,
}

impl Rules {
    /// Reads all rules from the store; a damaged one is logged and left out.
    pub fn load(store: Store) -> Result<Self, StoreError> {
        let mut rules = BTreeMap::new();
        for record in store.scan::<Rule>(prefix::RECORDING_RULE)? {
            let rule = record.map_err(|e| e.to_string()).and_then(|(_, rule)| {
                check(&rule).map(|selector| (rule, selector)).map_err(|e| e.message)
            });
            match rule {
                Ok((rule, selector)) => {
                    rules.insert(rule.name.clone(), (rule, selector));
                }
                Err(e) => tracing::error!("a rule of what is recorded is left out: {e}"),
            }
        }
        Ok(Self { store, any: AtomicBool::new(!rules.is_empty()), held: RwLock::new(rules) })
    }

    /// All, by name.
    pub fn all(&self) -> Vec<Rule> {
        let rules = self.held.read().unwrap_or_else(PoisonError::into_inner);
        rules.values().map(|(rule, _)| rule.clone()).collect()
    }

    /// Makes a rule or replaces it.
    pub async fn put(&self, rule: Rule) -> Result<(), CallError> {
        let selector = check(&rule)?;
        {
            let rules = self.held.read().unwrap_or_else(PoisonError::into_inner);
            if rules.len() >= MAX_RULES && !rules.contains_key(&rule.name) {
                return Err(busy(format!(
                    "there are {MAX_RULES} rules already; delete some first"
                )));
            }
        }
        self.store.apply(Batch::new().put(rule_key(&rule.name), &rule)).await.map_err(busy)?;
        let mut rules = self.held.write().unwrap_or_else(PoisonError::into_inner);
        rules.insert(rule.name.clone(), (rule, selector));
        self.any.store(true, Ordering::Release);
        Ok(())
    }

    /// Removes a rule. False when there is none.
    pub async fn delete(&self, name: &str) -> Result<bool, CallError> {
        if !self.held.read().unwrap_or_else(PoisonError::into_inner).contains_key(name) {
            return Ok(false);
        }
        self.store.apply(Batch::new().delete(rule_key(name))).await.map_err(busy)?;
        let mut rules = self.held.write().unwrap_or_else(PoisonError::into_inner);
        rules.remove(name);
        self.any.store(!rules.is_empty(), Ordering::Release);
        Ok(true)
    }

    /// What is asked for of this request; nothing when no rule fits.
    pub fn wanted(
        &self,
        caller: &Caller,
        header: &Header,
        host: impl FnOnce() -> Option<Host>,
    ) -> Option<Wanted> {
        if !self.any.load(Ordering::Acquire) || !RECORDABLE.contains(&header.method.as_str()) {
            return None;
        }
        let host = host()?;
        let rules = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let mut wanted: Option<Wanted> = None;
        let role = caller.role.to_string();
        for (rule, selector) in rules.values() {
            let one_of = |patterns: &[String], text: &str| {
                patterns.is_empty() || patterns.iter().any(|pattern| glob(pattern, text))
            };
            let of_method = one_of(&rule.methods, &header.method)
                || also(&header.method).is_some_and(|method| one_of(&rule.methods, method));
            let fits = of_method
                && one_of(&rule.roles, &role)
                && one_of(&rule.operators, &caller.name)
                && one_of(&rule.resources, program_of(&header.resource))
                && (is_everywhere(&rule.hosts) || selector.matches(&host));
            if fits {
                let first = wanted.is_none();
                let wanted = wanted.get_or_insert_default();
                wanted.rules.push(rule.name.clone());
                wanted.strict |= rule.strict;
                wanted.input |= rule.input;
                wanted.keep_days = match (first, wanted.keep_days, rule.keep_days) {
                    (true, _, days) => days,
                    (false, 0, _) | (false, _, 0) => 0,
                    (false, a, b) => a.max(b),
                };
            }
        }
        wanted
    }
}

/// A session over SSH or in a container is a session, and a command in a container is a command: a rule for those is
/// one for them too.
fn also(method: &str) -> Option<&'static str> {
    match method {
        ssh::Open::METHOD | inside::Open::METHOD => Some(sessions::Open::METHOD),
        inside::Exec::METHOD => Some(exec::Start::METHOD),
        _ => None,
    }
}

fn is_everywhere(selector: &str) -> bool {
    matches!(selector.trim(), "" | "*")
}

fn busy(error: impl std::fmt::Display) -> CallError {
    CallError::new(ErrorKind::Busy, error.to_string())
}

fn check(rule: &Rule) -> Result<Selector, CallError> {
    let wrong = |what: String| Err(CallError::malformed(what));
    let named = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    if rule.name.is_empty() || rule.name.len() > MAX_NAME || !rule.name.chars().all(named) {
        return wrong(format!("a rule's name is 1 to {MAX_NAME} of a-z, 0-9, '-', '_' and '.'"));
    }
    if rule.description.len() > 1024 {
        return wrong("a description has at most 1024 bytes".to_owned());
    }
    for list in [&rule.roles, &rule.operators, &rule.methods, &rule.resources] {
        if list.len() > MAX_PATTERNS {
            return wrong(format!("a rule lists at most {MAX_PATTERNS} of a kind"));
        }
        if let Some(long) = list.iter().find(|p| p.is_empty() || p.len() > MAX_PATTERN) {
            let shown = cmdr_protocol::display::clean_to_width(long, 60);
            return wrong(format!("'{shown}' is empty or longer than {MAX_PATTERN} bytes"));
        }
    }
    // A method that is never recorded is a slip of the pen, and would be missed later.
    let recordable = |pattern: &String| RECORDABLE.iter().any(|method| glob(pattern, method));
    if let Some(method) = rule.methods.iter().find(|pattern| !recordable(pattern)) {
        let shown = cmdr_protocol::display::clean_to_width(method, 60);
        return wrong(format!(
            "nothing called '{shown}' can be recorded; these can: {}",
            RECORDABLE.join(", ")
        ));
    }
    Selector::parse(&rule.hosts).map_err(|e| CallError::malformed(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::KeyId;
    use cmdr_protocol::envelope::Kind;
    use cmdr_protocol::role::Role;

    fn asked(name: &str, role: Role, resource: &str) -> (Caller, Header) {
        let caller = Caller {
            key: KeyId([0; 16]),
            name: name.into(),
            operator: String::new(),
            role,
            address: String::new(),
        };
        let header = Header {
            to: None,
            method: "exec.start".into(),
            kind: Kind::Feed,
            resource: resource.into(),
            deadline_ms: None,
            trace: 0,
            caller: None,
        };
        (caller, header)
    }

    fn host(prod: bool) -> Host {
        let labels = prod.then(|| ("env".to_owned(), "prod".to_owned())).into_iter().collect();
        Host { name: "web1".into(), labels, ..Host::default() }
    }

    #[tokio::test]
    async fn a_rule_holds_for_what_it_names_and_outlives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let rules = Rules::load(store.clone()).unwrap();
        let (caller, header) = asked("ann@desk", Role::OPERATOR, "command:/bin/ls");
        assert_eq!(rules.wanted(&caller, &header, || panic!("nobody asks for the host")), None);
        let prod = Rule {
            name: "prod".into(),
            hosts: "env=prod".into(),
            roles: vec!["oper*".into()],
            operators: vec!["ann@*".into()],
            resources: vec!["command:*".into()],
            keep_days: 30,
            ..Rule::default()
        };
        rules.put(prod.clone()).await.unwrap();
        let wanted = rules.wanted(&caller, &header, || Some(host(true))).unwrap();
        assert_eq!((wanted.rules, wanted.keep_days), (vec!["prod".to_owned()], 30));
        for (name, role, resource, on_prod) in [
            ("bob@desk", Role::OPERATOR, "command:ls", true),
            ("ann@desk", Role::ADMINISTRATOR, "command:ls", true),
            ("ann@desk", Role::OPERATOR, "script:x", true),
            ("ann@desk", Role::OPERATOR, "command:ls", false),
        ] {
            let (caller, header) = asked(name, role, resource);
            assert_eq!(rules.wanted(&caller, &header, || Some(host(on_prod))), None);
        }
        let all = Rule { name: "all".into(), strict: true, input: true, ..Rule::default() };
        rules.put(all).await.unwrap();
        let rules = Rules::load(store).unwrap();
        let wanted = rules.wanted(&caller, &header, || Some(host(true))).unwrap();
        let both = Wanted {
            rules: vec!["all".into(), "prod".into()],
            keep_days: 0,
            strict: true,
            input: true,
        };
        assert_eq!(wanted, both);
        assert!(rules.delete("all").await.unwrap() && rules.delete("prod").await.unwrap());
        assert!(!rules.delete("prod").await.unwrap());
        assert_eq!(rules.wanted(&caller, &header, || panic!("nobody asks for the host")), None);
    }

    #[test]
    fn a_wrong_rule_is_refused_with_what_is_wrong() {
        let rule = Rule { name: "a".into(), ..Rule::default() };
        check(&rule).unwrap();
        let told = |rule: Rule| check(&rule).unwrap_err().message;
        assert!(told(Rule { name: "A b".into(), ..rule.clone() }).contains("a-z"));
        assert!(told(Rule { hosts: "=x".into(), ..rule.clone() }).len() > 3);
        let wrong = told(Rule { methods: vec!["exec.stop".into()], ..rule.clone() });
        assert!(wrong.contains("exec.stop") && wrong.contains("exec.start"), "{wrong}");
        assert!(told(Rule { roles: vec![String::new()], ..rule }).contains("empty"));
    }
}
