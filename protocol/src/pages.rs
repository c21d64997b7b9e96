//! Lists that come in pages, because all of a list may be more than one answer holds. Who wants all of it asks on:
//! [`Paged`] says how, and the link's client does it.

use crate::call::Call;

/// A question whose answer is a page of a list.
pub trait Paged: Call + Clone {
    /// The question for the page after this one; nothing when it is the last.
    fn following(&self, page: &Self::Reply) -> Option<Self>;

    /// Puts a page behind those before it.
    fn join(all: &mut Self::Reply, page: Self::Reply);
}
