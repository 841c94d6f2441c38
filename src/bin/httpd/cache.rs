//! Answers that are kept for whoever asks next: small files, whole, with their heads.
//!
//! An answer is good for the second of the day in which it was begun. So its `Date` is right, and what is replaced,
//! written, cut or deleted is seen a second later at the latest, in whatever way it was done: nothing is compared,
//! the file is opened again. No descriptor stays open, and what a path leads to is decided each time by
//! `files.rs`, whose rights are those of the moment.
//!
//! Nobody ever waits here. Whoever sends an answer holds its place's lock shared, as long as the client takes, and the
//! place is not filled meanwhile. While it is being filled, and where all places of a set are taken, others go to
//! the file. A place is filled once a second at most, so with more files in use than there is room for,
//! some are kept and some are not, instead of each driving out the next.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use netpoll::sync::{RwLock, RwLockReadGuard};

use super::clock::Moment;

/// Bytes of the longest answer, head and body. Beyond, the kernel's own copy (sendfile) costs less than
/// what is not copied to here.
pub const LONGEST: usize = 16 << 10;
/// Bytes of the longest path.
pub const PATH: usize = 240;
/// Places that an answer may be at, by the hash of its path.
pub const WAYS: usize = 4;
/// With 64, all are 256 answers and 4 MiB; what was never filled is no memory.
pub const SETS: usize = 64;

/// How long an answer is good, should the time of day be set back meanwhile.
const FRESH: i64 = Duration::from_secs(1).as_nanos() as i64;

/// Answers by path.
pub struct Cache {
    sets: [[Place; WAYS]; SETS],
}

struct Place {
    /// The label of what is inside: it says where to look, and the lock what is true.
    label: AtomicU64,
    kept: RwLock<Kept>,
}

/// An answer.
pub struct Kept {
    /// When it was begun: before its file was opened.
    begun: Moment,
    /// Bytes of the path; none while nothing is kept.
    path_len: Option<usize>,
    path: [u8; PATH],
    len: usize,
    body_len: usize,
    bytes: [u8; LONGEST],
}

impl Kept {
    /// Head and body.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Bytes of the body.
    pub fn body_len(&self) -> usize {
        self.body_len
    }

    fn is_of(&self, path: &[u8], now: Moment) -> bool {
        self.path_len.is_some_and(|len| self.path[..len] == *path)
            && self.begun.unix == now.unix
            && now.elapsed - self.begun.elapsed < FRESH
    }
}

impl Cache {
    #[allow(clippy::new_without_default)] // only statics are made of it: it is no value to pass around
    pub const fn new() -> Cache {
        Cache { sets: [const { [const { Place::new() }; WAYS] }; SETS] }
    }

    /// The answer to a request for `path` that came at `now`. It stays as it is while it is held.
    pub fn get(&self, path: &[u8], now: Moment) -> Option<RwLockReadGuard<'_, Kept>> {
        let label = Label::new(path, now);
        let place = self.set(label).iter().find(|place| place.label() == label)?;
        place.kept.try_read().filter(|kept| kept.is_of(path, now))
    }

    /// Keeps an answer for `path`, if there is a place for it. `fill` writes it, begun at `now`, and returns how
    /// many bytes head and body have; nothing if it cannot be kept.
    pub fn put(&self, path: &[u8], now: Moment, fill: impl FnOnce(&mut [u8]) -> Option<(usize, usize)>) {
        let label = Label::new(path, now);
        let set = self.set(label);
        if path.len() > PATH || set.iter().any(|place| place.label() == label) {
            return;
        }
        let mut old = set.iter().filter(|place| place.label().second() != label.second());
        let Some((place, mut kept)) = old.find_map(|place| Some((place, place.kept.try_write()?))) else {
            return;
        };
        kept.path_len = None; // whatever becomes of it, the old one is gone
        let Some((head_len, body_len)) = fill(&mut kept.bytes) else { return };
        kept.begun = now;
        kept.path[..path.len()].copy_from_slice(path);
        kept.path_len = Some(path.len());
        kept.len = head_len + body_len;
        kept.body_len = body_len;
        place.label.store(label.0, Ordering::Relaxed);
    }

    fn set(&self, label: Label) -> &[Place; WAYS] {
        &self.sets[label.0 as usize % SETS]
    }
}

impl Place {
    const fn new() -> Place {
        // All zeros, so that it takes no room in the program's file.
        let begun = Moment { unix: 0, elapsed: 0 };
        let kept = Kept { begun, path_len: None, path: [0; PATH], len: 0, body_len: 0, bytes: [0; LONGEST] };
        Place { label: AtomicU64::new(0), kept: RwLock::new(kept) }
    }

    /// Relaxed: all that depends on it is looked at again under the lock.
    fn label(&self) -> Label {
        Label(self.label.load(Ordering::Relaxed))
    }
}

/// A second of the day, and the hash of a path.
#[derive(Clone, Copy, PartialEq)]
struct Label(u64);

impl Label {
    fn new(path: &[u8], now: Moment) -> Label {
        // FNV-1a. Paths that are made to collide only are not kept.
        let hash = path
            .iter()
            .fold(0x811c_9dc5u32, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        Label((now.unix as u64) << 32 | u64::from(hash))
    }

    fn second(self) -> u32 {
        (self.0 >> 32) as u32
    }
}
