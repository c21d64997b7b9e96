//! What is typed: on its way to the session, but for what follows the prefix Ctrl-\.

/// Ctrl-\.
const PREFIX: u8 = 0x1c;

/// What was asked of us, not of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Leave it running.
    Detach,
    /// Drive it.
    Take,
    /// Say what there is.
    Help,
}

/// Looks for the prefix.
#[derive(Debug, Default)]
pub(super) struct Keys {
    prefixed: bool,
}

impl Keys {
    /// What goes on to the session, and what is wished.
    pub(super) fn push(&mut self, typed: &[u8]) -> (Vec<u8>, Vec<Wish>) {
        let (mut on, mut wishes) = (Vec::with_capacity(typed.len()), Vec::new());
        for &key in typed {
            if !std::mem::take(&mut self.prefixed) {
                self.prefixed = key == PREFIX;
                if !self.prefixed {
                    on.push(key);
                }
                continue;
            }
            match key {
                b'd' => wishes.push(Wish::Detach),
                b't' => wishes.push(Wish::Take),
                b'?' => wishes.push(Wish::Help),
                // The prefix twice is the key itself.
                PREFIX => on.push(PREFIX),
                _ => on.extend([PREFIX, key]),
            }
        }
        (on, wishes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_but_the_prefixs_own_keys_reach_the_session() {
        let mut keys = Keys::default();
        assert_eq!(keys.push(b"ls\r\x03"), (b"ls\r\x03".to_vec(), vec![]));
        assert_eq!(keys.push(b"a\x1c"), (b"a".to_vec(), vec![]));
        assert_eq!(keys.push(b"db"), (b"b".to_vec(), vec![Wish::Detach]));
        assert_eq!(keys.push(b"\x1c\x1c\x1cx"), (b"\x1c\x1cx".to_vec(), vec![]));
        assert_eq!(keys.push(b"\x1ct\x1c?"), (vec![], vec![Wish::Take, Wish::Help]));
    }
}
