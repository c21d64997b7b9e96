//! Tokens as programs print them: the same columns and the same fields in `cmdr` and `cmdr-hub`. The
//! names of the fields are a promise.

use super::{Create, Created, Token, TokenKind, TokenState};
use crate::display::clean;
use crate::hosts::Labels;
use crate::human;
use crate::ids::TokenId;
use crate::role::Role;
use serde::Serialize;

/// One of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// Its public half, for revoking it.
    pub id: TokenId,
    /// `host` or `operator`.
    pub kind: TokenKind,
    /// What a new operator may do; absent for hosts, and where there is an operator already.
    pub role: Option<Role>,
    /// The operator whose next device it is for, when there is one already.
    pub operator: Option<String>,
    /// Whether it still works.
    pub state: TokenState,
    /// Uses left.
    pub uses_left: u32,
    /// Uses it began with.
    pub uses: u32,
    /// Labels for hosts.
    pub labels: Labels,
    /// When it was made, RFC 3339.
    pub created: String,
    /// Who made it.
    pub created_by: String,
    /// When it ends, RFC 3339.
    pub expires: String,
    #[serde(skip)]
    left: String,
}

/// The heads of [`Shown::cells`].
pub const HEADS: [&str; 8] = ["ID", "FOR", "STATE", "USED", "LEFT", "BY", "CREATED", "LABELS"];

fn role(kind: TokenKind, role: Role) -> Option<Role> {
    (kind == TokenKind::Operator && role != Role::NONE).then_some(role)
}

fn operator(name: &str) -> Option<String> {
    (!name.is_empty()).then(|| name.to_owned())
}

impl Shown {
    /// As it is at this time.
    pub fn new(token: Token, now_ms: u64) -> Self {
        let left = token.expires_ms.saturating_sub(now_ms) / 1000;
        Self {
            id: token.id,
            kind: token.kind,
            role: role(token.kind, token.role),
            operator: operator(&token.operator),
            state: token.state,
            uses_left: token.uses_left,
            uses: token.uses,
            labels: token.labels,
            created: human::moment(token.created_ms),
            created_by: token.created_by,
            expires: human::moment(token.expires_ms),
            left: if token.state == TokenState::Valid { human::span(left) } else { "-".into() },
        }
    }

    /// The columns of a table.
    pub fn cells(&self) -> [String; HEADS.len()] {
        let dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
        let labels: Vec<_> = self.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
        [
            self.id.to_string(),
            match (&self.operator, self.role) {
                (Some(operator), _) => clean(operator).into_owned(),
                (None, Some(role)) => role.to_string(),
                (None, None) => self.kind.to_string(),
            },
            self.state.as_str().to_owned(),
            format!("{}/{}", self.uses - self.uses_left.min(self.uses), self.uses),
            self.left.clone(),
            dash(clean(&self.created_by).into_owned()),
            self.created.clone(),
            dash(clean(&labels.join(",")).into_owned()),
        ]
    }
}

/// One that has just been made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Made {
    /// Its public half, for revoking it.
    pub id: TokenId,
    /// The whole token, which is shown once.
    pub token: String,
    /// `host` or `operator`.
    pub kind: TokenKind,
    /// What a new operator may do; absent for hosts, and where there is an operator already.
    pub role: Option<Role>,
    /// The operator whose next device it is for, when there is one already.
    pub operator: Option<String>,
    /// How often it can be used.
    pub uses: u32,
    /// When it ends, RFC 3339.
    pub expires: String,
}

impl Made {
    /// What came of an order.
    pub fn new(id: TokenId, asked: &Create, made: &Created) -> Self {
        Self {
            id,
            token: made.text.clone(),
            kind: asked.kind,
            role: role(asked.kind, asked.role),
            operator: operator(&asked.operator),
            uses: asked.uses,
            expires: human::moment(made.expires_ms),
        }
    }

    /// The command that takes it.
    pub const fn used_with(&self) -> &'static str {
        match self.kind {
            TokenKind::Host => "cmdr-agentd join",
            _ => "cmdr login",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_shown_with_its_promised_fields_and_columns() {
        let token = Token {
            id: TokenId([1; 8]),
            kind: TokenKind::Operator,
            operator: String::new(),
            role: Role::OBSERVER,
            state: TokenState::Valid,
            uses_left: 2,
            uses: 3,
            labels: Labels::new(),
            created_ms: 0,
            expires_ms: 60_000,
            created_by: "ann\u{1b}".into(),
        };
        let id = token.id.to_string();
        let shown = Shown::new(token, 0);
        assert_eq!(
            shown.cells(),
            [&id, "observer", "valid", "1/3", "1m", "ann␛", "1970-01-01T00:00:00Z", "-"]
        );
        let expected = serde_json::json!({
            "id": id, "kind": "operator", "role": "observer", "operator": null, "state": "valid",
            "uses_left": 2, "uses": 3, "labels": {}, "created": "1970-01-01T00:00:00Z", "created_by": "ann\u{1b}",
            "expires": "1970-01-01T00:01:00Z",
        });
        assert_eq!(serde_json::to_value(&shown).unwrap(), expected);
        // One for somebody who is there already is for them, whatever their role.
        let operator = "bob".to_owned();
        let shown = Shown { operator: Some(operator), role: None, ..shown };
        assert_eq!(shown.cells()[1], "bob");
    }

    #[test]
    fn a_new_token_has_its_id_beside_its_text() {
        let asked = Create { kind: TokenKind::Host, uses: 1, ..Create::default() };
        let made = Created { text: "cmdr1-x".into(), expires_ms: 1000 };
        let made = Made::new(TokenId([2; 8]), &asked, &made);
        let expected = serde_json::json!({
            "id": TokenId([2; 8]).to_string(), "token": "cmdr1-x", "kind": "host", "role": null, "operator": null,
            "uses": 1, "expires": "1970-01-01T00:00:01Z",
        });
        assert_eq!(serde_json::to_value(&made).unwrap(), expected);
        assert_eq!(made.used_with(), "cmdr-agentd join");
    }
}
