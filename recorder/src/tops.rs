//! Picks who was on top: by one figure after another, each of them once.

/// So many by each figure.
pub(crate) const TOP: usize = 10;

/// The places of the first `most` by each of the figures, those that are 0 left out; in order, each once.
pub(crate) fn pick<T, const N: usize>(
    all: &[T],
    most: usize,
    figures: impl Fn(&T) -> [u64; N],
) -> Vec<usize> {
    // The heaviest so far of each figure, the lightest of them first.
    let mut tops: [Vec<(u64, usize)>; N] = std::array::from_fn(|_| Vec::with_capacity(most + 1));
    for (place, one) in all.iter().enumerate() {
        for (top, figure) in tops.iter_mut().zip(figures(one)) {
            let full = top.len() >= most;
            if figure == 0 || full && top.first().is_none_or(|(least, _)| figure <= *least) {
                continue;
            }
            if full {
                top.remove(0);
            }
            let at = top.partition_point(|(other, _)| *other <= figure);
            top.insert(at, (figure, place));
        }
    }
    let mut picked: Vec<usize> = tops.iter().flatten().map(|(_, place)| *place).collect();
    picked.sort_unstable();
    picked.dedup();
    picked
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn nobody_left_out_is_heavier_than_one_who_was_picked_for_it(
            all in proptest::collection::vec(any::<[u8; 2]>(), 0..80),
            most in 1usize..12,
        ) {
            let figures = |one: &[u8; 2]| one.map(u64::from);
            let picked = pick(&all, most, figures);
            for figure in 0..2 {
                let mut sorted: Vec<u8> = all.iter().map(|one| one[figure]).filter(|n| *n > 0).collect();
                sorted.sort_unstable_by(|a, b| b.cmp(a));
                sorted.truncate(most);
                let has = |n: &u8| picked.iter().filter(|at| all[**at][figure] >= *n).count();
                for (i, n) in sorted.iter().enumerate() {
                    prop_assert!(has(n) > i);
                }
            }
            prop_assert!(picked.len() <= 2 * most);
        }
    }
}
