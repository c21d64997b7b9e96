//! Equal ends in one, in the same way wherever they are shown.

use super::Group;
use super::states::TargetState;
use std::collections::BTreeMap;

/// One target, as far as folding looks at it: its index, how it stands, its exit code, which output it has.
pub type Standing<'a> = (u32, TargetState, Option<i32>, &'a [u8]);

/// Groups of targets with the same state, code and output: the largest first.
pub fn fold<'a>(targets: impl IntoIterator<Item = Standing<'a>>) -> Vec<Group> {
    let mut groups: BTreeMap<(TargetState, Option<i32>, &[u8]), Group> = BTreeMap::new();
    for (index, state, code, sum) in targets {
        let group = groups.entry((state, code, sum)).or_insert_with(|| Group {
            state,
            code,
            count: 0,
            example: index,
            sum: sum.to_vec(),
            targets: Vec::new(),
        });
        group.count += 1;
        group.targets.push(index);
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    groups.sort_by(|a, b| b.count.cmp(&a.count).then(a.example.cmp(&b.example)));
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_ends_are_one_group_and_the_largest_comes_first() {
        let (ok, bad) = (TargetState::Ok, TargetState::Failed);
        let ends: [Standing<'_>; 5] = [
            (0, bad, Some(1), b"x"),
            (1, ok, Some(0), b"a"),
            (2, ok, Some(0), b"b"),
            (3, ok, Some(0), b"a"),
            (4, bad, Some(2), b"x"),
        ];
        let groups = fold(ends);
        let told: Vec<_> = groups.iter().map(|g| (g.state, g.code, g.targets.clone())).collect();
        let expected = [
            (ok, Some(0), vec![1, 3]),
            (bad, Some(1), vec![0]),
            (ok, Some(0), vec![2]),
            (bad, Some(2), vec![4]),
        ];
        assert_eq!(told, expected);
        assert_eq!((groups[0].count, groups[0].example), (2, 1));
    }
}
