//! A byte queue over a buffer that is kept while it is busy and given back when it runs empty.

/// Bytes on their way, in order.
#[derive(Default)]
pub(super) struct Queue {
    buf: Vec<u8>,
    start: usize,
    end: usize,
}

impl Queue {
    /// A buffer larger than this is kept from one burst to the next only if the burst was large.
    const KEEP: usize = 16 * 1024;

    pub(super) const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub(super) const fn len(&self) -> usize {
        self.end - self.start
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.buf[self.start..self.end]
    }

    /// Room for `len` more bytes behind the last; [`Queue::filled`] says how many were used.
    pub(super) fn room(&mut self, len: usize) -> &mut [u8] {
        // Moved only where that frees as much as it moves: each byte is moved once at most, on average.
        if self.start >= self.len() && self.end + len > self.buf.len() {
            self.buf.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end + len > self.buf.len() {
            self.buf.resize(self.end + len, 0);
        }
        &mut self.buf[self.end..self.end + len]
    }

    pub(super) const fn filled(&mut self, len: usize) {
        self.end += len;
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.room(bytes.len()).copy_from_slice(bytes);
        self.filled(bytes.len());
    }

    pub(super) fn advance(&mut self, len: usize) {
        self.start += len;
        if self.start == self.end {
            let used = self.end;
            (self.start, self.end) = (0, 0);
            if used < Self::KEEP {
                self.buf = Vec::new();
            }
        }
    }

    /// Bytes of memory that it owns.
    #[cfg(test)]
    pub(super) const fn owned(&self) -> usize {
        self.buf.capacity()
    }
}
