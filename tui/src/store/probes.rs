//! Probes as the status board has them: the list, how long each took lately, and all about the one under the cursor.

use super::sheets::id_of;
use super::{Store, Update};
use cmdr_protocol::CallError;
use cmdr_protocol::display::clean;
use cmdr_protocol::history::Answer;
use cmdr_protocol::probes::{Listing, Row, Stands};
use std::collections::{BTreeMap, HashMap};

/// Rows that are kept at most, whatever a hub says.
const ROWS: usize = 5000;
/// Points of a time that are kept.
const POINTS: usize = 120;

/// All that is known of probes.
#[derive(Default)]
pub struct Probes {
    /// By number; texts made harmless.
    pub rows: BTreeMap<u64, Row>,
    /// A list came.
    pub known: bool,
    /// When the list came, or failed.
    pub came_ms: u64,
    /// Why the newest one did not come.
    pub error: Option<CallError>,
    /// Over how much time the parts of the rows are.
    pub span_ms: u64,
    /// Goes up with every change of the rows.
    pub version: u64,
    /// A question of the board is under way.
    pub busy: bool,
    /// How long each took, in seconds, by minutes up to when it came.
    pub took: HashMap<u64, (Vec<Option<f64>>, u64)>,
    /// All about one, when it came.
    pub stands: Option<(u64, Result<Stands, CallError>, u64)>,
}

/// The number of a probe's row, and of its pages.
pub fn number(name: &str) -> u64 {
    id_of(&("probe", name))
}

impl Probes {
    /// All about one, if that is what came last.
    pub fn stands(&self, number: u64) -> Option<&Result<Stands, CallError>> {
        self.stands.as_ref().filter(|(of, ..)| *of == number).map(|(_, stands, _)| stands)
    }
}

fn harmless(text: &mut String) {
    if let std::borrow::Cow::Owned(clean) = clean(text) {
        *text = clean;
    }
}

fn harmless_row(row: &mut Row) {
    let texts = [
        &mut row.name,
        &mut row.description,
        &mut row.kind,
        &mut row.target,
        &mut row.from,
        &mut row.saved_by,
        &mut row.problem,
        &mut row.why,
    ];
    texts.into_iter().for_each(harmless);
    row.blocks.truncate(cmdr_protocol::probes::MAX_BLOCKS as usize);
}

/// The board asks something.
pub fn asking() -> Update {
    Update::new(|store| store.probes.busy = true)
}

/// The list came.
pub fn listed(span_ms: u64, answer: Result<Listing, CallError>) -> Update {
    Update::new(move |store: &mut Store| {
        let now_ms = store.now_ms;
        let probes = &mut store.probes;
        (probes.busy, probes.came_ms) = (false, now_ms);
        match answer {
            Err(error) => probes.error = Some(error),
            Ok(listing) => {
                let mut rows = listing.probes;
                rows.truncate(ROWS);
                rows.iter_mut().for_each(harmless_row);
                probes.rows = rows.into_iter().map(|row| (number(&row.name), row)).collect();
                let known = &probes.rows;
                probes.took.retain(|number, _| known.contains_key(number));
                (probes.known, probes.error, probes.span_ms) = (true, None, span_ms);
            }
        }
        probes.version += 1;
    })
}

/// How long some took came; who is not among them was asked about in vain.
pub fn timed(asked: Vec<u64>, answer: Result<Answer, CallError>) -> Update {
    Update::new(move |store: &mut Store| {
        let now_ms = store.now_ms;
        store.probes.busy = false;
        for number in asked {
            store.probes.took.insert(number, (Vec::new(), now_ms));
        }
        for line in answer.map(|answer| answer.lines).unwrap_or_default() {
            let name = line.metric.split_once('{').and_then(|(_, of)| of.strip_suffix('}'));
            let Some(number) = name.map(number) else { continue };
            let mut points = vec![None; (line.first as usize).min(POINTS)];
            points.extend(line.points);
            points.truncate(POINTS);
            store.probes.took.insert(number, (points, now_ms));
        }
    })
}

/// All about one came.
pub fn stood(number: u64, answer: Result<Stands, CallError>) -> Update {
    Update::new(move |store: &mut Store| {
        let now_ms = store.now_ms;
        store.probes.busy = false;
        let answer = answer.map(|mut stands| {
            harmless_row(&mut stands.probe);
            for seen in &mut stands.agents {
                harmless(&mut seen.name);
                harmless(&mut seen.measured.why);
                harmless(&mut seen.measured.address);
                seen.measured.answers.iter_mut().for_each(harmless);
                if let Some(certificate) = &mut seen.measured.certificate {
                    harmless(&mut certificate.subject);
                    harmless(&mut certificate.issuer);
                    certificate.names.iter_mut().for_each(harmless);
                    certificate.problems.iter_mut().for_each(harmless);
                }
            }
            stands.happened.iter_mut().for_each(|happened| harmless(&mut happened.why));
            stands
        });
        store.probes.stands = Some((number, answer, now_ms));
    })
}

/// The list is asked for anew.
pub fn stale() -> Update {
    Update::new(|store| {
        store.probes.came_ms = 0;
        store.probes.stands = None;
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hubs_and_far_ends_say_is_harmless_and_bounded() {
        let mut store = Store::new(9, 0, false);
        let evil = |n: usize| Row {
            name: format!("p{n}\u{1b}[2J"),
            why: "\u{9b}31m".into(),
            blocks: vec![1; 9999],
            ..Row::default()
        };
        let probes = (0..ROWS + 10).map(evil).collect();
        store.apply(listed(1, Ok(Listing { probes })));
        assert_eq!(store.probes.rows.len(), ROWS);
        let row = store.probes.rows.values().next().expect("a row");
        assert!(!row.name.contains('\u{1b}') && !row.why.contains('\u{9b}'), "{row:?}");
        assert!(row.blocks.len() <= 100);
    }

    #[test]
    fn a_list_that_fails_leaves_what_was_known() {
        let mut store = Store::new(9, 0, false);
        let row = Row { name: "shop".into(), ..Row::default() };
        store.apply(listed(1, Ok(Listing { probes: vec![row] })));
        store.apply(listed(1, Err(CallError::failed("no"))));
        assert_eq!((store.probes.rows.len(), store.probes.error.is_some()), (1, true));
    }
}
