//! The rules that come with the product, and how notices are given where nobody said otherwise.

use crate::alerts::Policy;
use crate::catalog::Catalog;
use crate::check::Compiled;
use crate::problem::Problem;
use crate::rule::Rule;
use crate::text;
use crate::unit::Span;

/// The rules as text, with comments.
pub const RULES: &str = include_str!("defaults.yaml");

/// The same, read. They are right by [`Catalog::standard`], which a test sees to.
pub fn rules(catalog: &Catalog) -> Result<Vec<(Rule, Compiled)>, Vec<Problem>> {
    text::read(RULES, catalog)
}

/// One notice for each rule, half a minute after its first alert and no more often than each five minutes; again each
/// four hours until somebody acknowledges it. The places that it goes to are still to be named.
pub fn policy() -> Policy {
    Policy {
        name: "default".to_owned(),
        group_by: vec!["rule".to_owned()],
        group_wait: Span::seconds(30),
        group_interval: Span::minutes(5),
        cooldown: Span::minutes(5),
        repeat: Span::minutes(240),
        ..Policy::default()
    }
}
