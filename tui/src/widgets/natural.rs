//! The order people expect of names: `web2` before `web10`.

use std::cmp::Ordering;

/// Compares digit runs as numbers and the rest without regard to case; equal ones by their bytes.
pub fn compare(left: &str, right: &str) -> Ordering {
    let (mut ls, mut rs) = (left.as_bytes(), right.as_bytes());
    while let (Some(l), Some(r)) = (ls.first(), rs.first()) {
        let (order, l_len, r_len) = if l.is_ascii_digit() && r.is_ascii_digit() {
            let (l_len, r_len) = (digits(ls), digits(rs));
            let (l, r) = (strip(&ls[..l_len]), strip(&rs[..r_len]));
            (l.len().cmp(&r.len()).then_with(|| l.cmp(r)), l_len, r_len)
        } else {
            (l.to_ascii_lowercase().cmp(&r.to_ascii_lowercase()), 1, 1)
        };
        if order.is_ne() {
            return order;
        }
        (ls, rs) = (&ls[l_len..], &rs[r_len..]);
    }
    ls.len().cmp(&rs.len()).then_with(|| left.cmp(right))
}

fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|c| c.is_ascii_digit()).count()
}

fn strip(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|c| **c == b'0').count();
    &digits[zeros..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_count_as_numbers() {
        let mut names = ["web10", "Web2", "db1", "web2", "web02", "web"];
        names.sort_by(|a, b| compare(a, b));
        assert_eq!(names, ["db1", "web", "Web2", "web02", "web2", "web10"]);
    }
}
