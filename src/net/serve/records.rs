//! The records of connections, and where they are.

use super::Post;
use super::inbox::{Chain, Idle, Inbox, Node};
use crate::poll::{Kernel, Slot};
use crate::sched::g::Gp;
use crate::sched::poller::netpoll;
use crate::sched::waiter::{OneOf, WaitWord};
use crate::sys::Errno;
use core::cell::{Cell, UnsafeCell};
use core::mem::{MaybeUninit, offset_of, size_of};
use core::ptr::{self, NonNull};

/// A connection, as whoever takes its word out of the poller sees it.
#[repr(C)]
pub(super) struct Head {
    pub(super) one_of: OneOf,
    pub(super) node: Node,
    pub(super) post: NonNull<Post>,
    pub(super) idle: Idle,
    /// An edge that wakes it is of something that nobody has read: see `Server::wake`.
    pub(super) certain: Cell<bool>,
}

#[repr(C)]
pub(super) struct Record<S> {
    pub(super) head: Head,
    /// The slot of the stream in the poller, of this one or of the last. The accepting task's.
    pub(super) slot: Cell<Option<&'static Slot>>,
    /// There from the accept to `finish`.
    pub(super) stream: UnsafeCell<MaybeUninit<S>>,
}

// With the state of the descriptor, its `Slot` and an entry of a deadline in the heap: 256 bytes.
static_assertions::const_assert!(size_of::<Record<crate::net::TcpStream>>() <= 48);

/// A pointer to a record, of whoever has the connection in hand.
pub(super) struct At<S>(pub(super) NonNull<Record<S>>);

impl<S> Clone for At<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for At<S> {}

// SAFETY: the stream in it may move between threads, and be used from several.
unsafe impl<S: Send + Sync> Send for At<S> {}

impl<S> At<S> {
    pub(super) fn of(node: NonNull<Node>) -> At<S> {
        // SAFETY: the node of a record, by a pointer that reaches all of it.
        At(unsafe { node.byte_sub(offset_of!(Head, node)).cast() })
    }

    pub(super) fn node(self) -> NonNull<Node> {
        // SAFETY: a field of a record that is there until the server ends.
        unsafe { self.0.byte_add(offset_of!(Head, node)).cast() }
    }

    pub(super) fn word(self) -> WaitWord {
        // SAFETY: a record begins with the head, and stays beyond `claim`: the server goes on until the
        // record came out of the inbox.
        unsafe { WaitWord::one_of(self.0.cast()) }
    }

    /// # Safety
    /// The server has not ended.
    pub(super) unsafe fn record<'a>(self) -> &'a Record<S> {
        // SAFETY: the caller's contract; what changes in a record is in cells.
        unsafe { self.0.as_ref() }
    }
}

/// See [`OneOf::claim`].
pub(super) unsafe fn claim(head: NonNull<OneOf>) -> Option<Gp> {
    let head = head.cast::<Head>();
    // SAFETY: a record's, which stays until it came out of the inbox, and so does the server. The node is
    // reached by the pointer that reaches all of the record.
    unsafe {
        if !head.as_ref().idle.claim() {
            return None;
        }
        let node = head.byte_add(offset_of!(Head, node)).cast();
        Post::put(head.as_ref().post, node)
    }
}

/// Bytes of the first block of records; each further one is twice as large.
const FIRST: usize = 4096;

/// As many as the address space has room for.
const BLOCKS: usize = 32;

/// Where the records of a server are.
pub(super) struct Places<S> {
    blocks: [*mut Record<S>; BLOCKS],
    /// Handed out at least once.
    made: usize,
    spare: Chain,
}

impl<S> Places<S> {
    pub(super) fn new() -> Places<S> {
        Places { blocks: [ptr::null_mut(); BLOCKS], made: 0, spare: Chain::empty() }
    }

    /// Records in block `k`.
    fn room(k: usize) -> usize {
        (FIRST << k) / size_of::<Record<S>>()
    }

    /// A free one, or a new one, to be written.
    pub(super) fn get(&mut self, free: &Inbox) -> Result<At<S>, Errno> {
        if let Some(node) = self.spare.next() {
            return Ok(At::of(node));
        }
        self.spare = free.take();
        if let Some(node) = self.spare.next() {
            return Ok(At::of(node));
        }
        let (mut k, mut offset) = (0, self.made);
        while offset >= Self::room(k) {
            offset -= Self::room(k);
            k += 1;
        }
        let block = self.blocks.get_mut(k).ok_or(Errno::ENOMEM)?;
        if block.is_null() {
            *block = netpoll().kernel().map(FIRST << k)?.cast().as_ptr();
        }
        self.made += 1;
        // SAFETY: within the block.
        Ok(At(unsafe { NonNull::new_unchecked(block.add(offset)) }))
    }

    /// Those that were handed out.
    pub(super) fn all(&self) -> impl Iterator<Item = At<S>> {
        let blocks = self.blocks.iter().enumerate();
        blocks
            .flat_map(|(k, &block)| (0..Self::room(k)).map(move |i| block.wrapping_add(i)))
            .take(self.made)
            .filter_map(|record| NonNull::new(record).map(At))
    }
}

impl<S> Drop for Places<S> {
    fn drop(&mut self) {
        for (k, &block) in self.blocks.iter().enumerate() {
            if let Some(block) = NonNull::new(block) {
                // SAFETY: mapped with this length, and the server has ended: no record is in use.
                unsafe { netpoll().kernel().unmap(block.cast(), FIRST << k) };
            }
        }
    }
}
