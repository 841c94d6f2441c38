//! Spare things, to be used again: dead tasks and their stacks. The last used are at hand with each P,
//! the others in a list for all.

use core::cell::{Cell, UnsafeCell};

/// What a P keeps of a kind before it gives half of them to the others (Go's figure for its `gFree`).
pub(crate) const KEPT: u32 = 64;

/// Has room for a link, for the list it is in.
pub(crate) trait Linked: Copy {
    fn link(&self) -> &Cell<Option<Self>>;
}

/// Last in, first out, by links in what is listed (Go: `gList`).
pub(crate) struct List<T> {
    first: Option<T>,
}

impl<T: Linked> List<T> {
    pub const fn new() -> List<T> {
        List { first: None }
    }

    pub fn push(&mut self, item: T) {
        item.link().set(self.first);
        self.first = Some(item);
    }

    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub fn pop(&mut self) -> Option<T> {
        let item = self.first?;
        self.first = item.link().get();
        Some(item)
    }
}

/// What one P keeps. All zeros: nothing. Its owner's only.
pub(crate) struct Spares<T> {
    list: UnsafeCell<List<T>>,
    len: Cell<u32>,
}

impl<T: Linked> Spares<T> {
    #[inline]
    pub fn pop(&self) -> Option<T> {
        // SAFETY: the owner's, and no other borrow of the list is live.
        let item = unsafe { &mut *self.list.get() }.pop()?;
        self.len.set(self.len.get() - 1);
        Some(item)
    }

    #[inline]
    pub fn push(&self, item: T) {
        // SAFETY: as above.
        unsafe { &mut *self.list.get() }.push(item);
        self.len.set(self.len.get() + 1);
    }

    pub fn len(&self) -> u32 {
        self.len.get()
    }

    /// Takes some that others had too many of.
    pub fn take_from(&self, shared: &mut List<T>) {
        for _ in 0..KEPT / 2 {
            let Some(item) = shared.pop() else { return };
            self.push(item);
        }
    }

    /// Gives half of a full house to the others.
    pub fn give_to(&self, shared: &mut List<T>) {
        for _ in 0..KEPT / 2 {
            if let Some(item) = self.pop() {
                shared.push(item);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::boxed::Box;
    use std::vec::Vec;

    #[derive(Clone, Copy)]
    struct Item(&'static (u32, Cell<Option<Item>>));

    impl Linked for Item {
        fn link(&self) -> &Cell<Option<Item>> {
            &self.0.1
        }
    }

    fn items(n: u32) -> impl Iterator<Item = Item> {
        (0..n).map(|i| Item(Box::leak(Box::new((i, Cell::new(None))))))
    }

    fn drain(mut next: impl FnMut() -> Option<Item>) -> Vec<u32> {
        core::iter::from_fn(|| next().map(|item| item.0.0)).collect()
    }

    #[test]
    fn lists_are_last_in_first_out() {
        let mut list = List::new();
        items(3).for_each(|item| list.push(item));
        assert_eq!(drain(|| list.pop()), [2, 1, 0]);
    }

    #[test]
    fn what_is_too_much_is_shared_and_comes_back() {
        let (spares, mut shared) =
            (Spares { list: UnsafeCell::new(List::new()), len: Cell::new(0) }, List::new());
        items(KEPT).for_each(|item| spares.push(item));
        assert_eq!(spares.len(), KEPT);
        spares.give_to(&mut shared);
        assert_eq!(drain(|| spares.pop()).len() as u32, KEPT / 2);
        spares.take_from(&mut shared);
        assert!(shared.pop().is_none());
        assert_eq!(drain(|| spares.pop()).len() as u32, KEPT / 2);
    }
}
