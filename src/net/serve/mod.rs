//! Serving connections that are idle most of the time: one that waits has no task and no stack.
//!
//! Whoever calls [`serve`] accepts. What he accepted rests as a record of 48 bytes, whose address lies in the
//! poller as the word of the one who waits to read. Whoever takes the word out (an event, a deadline, a
//! close) puts the record into an [`Inbox`]; a task takes it from there, and gives it a task. When the
//! handler has returned, that task looks once more, leaves the word again, and ends.
//!
//! The direction to read stays locked while a connection rests, so that another handle's reader takes its
//! turn and does not undo the wait. At the end (`Server::end`) the records' words are taken back; a task
//! that leaves its word then looks whether the server ends ([`Ending`]).

mod inbox;
mod records;

use super::{Error, Pollable};
use crate::net::fd::Fd;
use crate::net::transfer::Pause;
use crate::poll::{Mode, Side, Slot};
use crate::sched::g::{Gp, Place, WaitReason};
use crate::sched::poller::{netpoll, poll_under_way};
use crate::sched::proc::{getg, gopark, goready};
use crate::sched::waiter::OneOf;
use crate::sys::{Call, Errno};
use crate::time::Instant;
use crate::{Scope, scope};
use core::cell::{Cell, UnsafeCell};
use core::mem::{ManuallyDrop, MaybeUninit};
use core::panic::Location;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use inbox::{Ending, Idle, Inbox, Node};
use records::{At, Head, Places, Record, claim};

/// What becomes of a connection when its handler returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It rests until there is something to read; if there is already, the handler is called again at once.
    Idle,
    /// It is closed, if no other handle is left ([`TcpStream::try_clone`](super::TcpStream::try_clone)).
    Close,
}

/// A socket whose connections can be served.
pub trait Listener: sealed::Listener {
    /// What it accepts.
    type Stream: Pollable + Send + Sync;
}

pub(crate) mod sealed {
    pub trait Listener {
        fn accept_stream(&self) -> Result<Self::Stream, super::Error>
        where
            Self: super::Listener;
    }
}

/// [`Serve::run`] with the defaults.
///
/// ```ignore
/// serve(&listener, |stream: &TcpStream| {
///     let mut buf = [0; 4096];
///     match stream.read(&mut buf) {
///         Ok(n @ 1..) if stream.write_all(&buf[..n]).is_ok() => Next::Idle,
///         _ => Next::Close, // the end, or an error
///     }
/// })
/// ```
///
/// # Errors
/// As there.
#[track_caller]
pub fn serve<L, H>(listener: &L, handler: H) -> Result<(), Error>
where
    L: Listener,
    H: Fn(&L::Stream) -> Next + Sync,
{
    Serve::new().run(listener, handler)
}

/// How connections are served.
#[derive(Clone, Copy, Debug)]
pub struct Serve {
    idle_timeout: Option<Duration>,
    stack_size: usize,
}

impl Default for Serve {
    fn default() -> Self {
        Serve::new()
    }
}

impl Serve {
    /// The defaults: a connection may be idle for ever, and handlers have the program's stack size.
    pub const fn new() -> Serve {
        Serve { idle_timeout: None, stack_size: 0 }
    }

    /// A connection on which nothing has come for this long, since it was accepted or since its handler
    /// returned, is closed; so may one be on which something came at the last moment.
    pub const fn idle_timeout(mut self, limit: Duration) -> Serve {
        self.idle_timeout = Some(limit);
        self
    }

    /// The stack of a handler's task, as [`Builder::stack_size`](crate::Builder::stack_size).
    pub const fn stack_size(mut self, bytes: usize) -> Serve {
        self.stack_size = bytes;
        self
    }

    /// Accepts, and calls `handler` with each connection that has something to read, in a task of its own. It
    /// may read and write as it likes, parking meanwhile; when it has done what there was to do it returns,
    /// and gives the task's stack back. Behind the end of the stream, or an error, it must return
    /// [`Next::Close`], or it is called again and again.
    ///
    /// A resting connection takes 256 bytes at most, besides the kernel's; the limit of descriptors is the
    /// program's to raise. Its read deadline and read timeout are the server's: what a handler sets ends with
    /// its return.
    ///
    /// It ends when the listener is closed, by any task: then resting connections are closed, and handlers
    /// return in their own time, whereupon theirs are. This returns behind the last of them. So give a
    /// connection on which a handler may wait for ever a deadline.
    ///
    /// One connection's troubles are not the server's. Where accepting fails for want of descriptors or
    /// memory, or by what the network reports for the new connection, it goes on, behind a pause of up to
    /// 160 ms; so it does where there is no memory for a task.
    ///
    /// # Errors
    /// What ended it, if not the close: [`Error::TimedOut`] (the listener's deadline), [`Error::Os`] of
    /// `accept4` if the listener cannot accept at all, of `epoll_pwait` if the poller has failed, of `mmap` if
    /// there is no memory to begin.
    #[track_caller]
    pub fn run<L, H>(&self, listener: &L, handler: H) -> Result<(), Error>
    where
        L: Listener,
        H: Fn(&L::Stream) -> Next + Sync,
    {
        let at = Some(Location::caller());
        let server = Server {
            options: *self,
            at,
            handler,
            post: Post { inbox: Inbox::new(), clerk: Cell::new(None), stop: Node::new() },
            free: Inbox::new(),
            places: UnsafeCell::new(Places::new()),
            live: AtomicUsize::new(1),
            ending: Ending::new(),
        };
        let result = scope(|scope| {
            let server = &server;
            scope.try_spawn(0, at, move || server.hand_out(scope)).map_err(|e| Error::Os(Call::Mmap, e))?;
            let why = server.accept(scope, listener);
            server.end();
            Err(why)
        });
        match result {
            Err(Error::Closed) => Ok(()),
            other => other,
        }
    }
}

/// Where claimed records go. Type-less, for [`claim`].
struct Post {
    inbox: Inbox,
    /// The task that takes them out; set before it first sleeps.
    clerk: Cell<Option<Gp>>,
    /// The last to come.
    stop: Node,
}

impl Post {
    /// Whom to ready for it.
    ///
    /// # Safety
    /// As [`Inbox::push`], of a server that has not ended.
    unsafe fn put(this: NonNull<Post>, node: NonNull<Node>) -> Option<Gp> {
        // SAFETY: the caller's contract. If the clerk is parked the server waits for this ready; if not it
        // may have ended, and is not touched.
        unsafe {
            let this = this.as_ptr();
            if (*this).inbox.push(node) { (*this).clerk.get() } else { None }
        }
    }
}

/// What becomes of a connection that might rest.
enum Rest {
    /// There is something to read.
    Not,
    /// It rests, and is the caller's no more.
    Left,
    /// It is closed, past its deadline, or the server ends.
    Over,
}

struct Server<S, H> {
    options: Serve,
    /// Where it was called: its tasks are spawned there, as far as reports go.
    at: Place,
    handler: H,
    post: Post,
    /// Records without a connection.
    free: Inbox,
    /// The accepting task's.
    places: UnsafeCell<Places<S>>,
    /// Connections, and one for the accepting task.
    live: AtomicUsize,
    /// Nothing rests any more.
    ending: Ending,
}

// SAFETY: `clerk` is set by its task before others may read it, and published by the inbox; `places` is used
// by one task. Streams are shared, and dropped wherever a handler ends.
unsafe impl<S: Send + Sync, H: Sync> Sync for Server<S, H> {}

impl<S: Pollable + Send + Sync, H: Fn(&S) -> Next + Sync> Server<S, H> {
    /// Accepts until that fails for good.
    fn accept<'scope, L>(&'scope self, scope: &'scope Scope<'scope, '_>, listener: &L) -> Error
    where
        L: Listener<Stream = S>,
    {
        let mut pause = Pause::new();
        // SAFETY: the accepting task's.
        let places = unsafe { &mut *self.places.get() };
        loop {
            // First: what was accepted has a place.
            let Ok(at) = places.get(&self.free) else {
                pause.wait();
                continue;
            };
            let stream = loop {
                match listener.accept_stream() {
                    Ok(stream) => break stream,
                    Err(e) if is_final(e) => return e,
                    Err(_) => pause.wait(), // of that one connection, or it will pass
                }
            };
            pause = Pause::new();
            self.live.fetch_add(1, Ordering::Relaxed); // not the first: there is this task's
            self.move_in(at, stream);
            match self.rest(at, true) {
                Rest::Left => {}
                Rest::Not => self.start(scope, at, true),
                Rest::Over => self.finish(at),
            }
        }
    }

    fn move_in(&self, at: At<S>, stream: S) {
        // SAFETY: a place of this task's alone. No reference to the record is made before all of it is there.
        unsafe {
            let slot = Cell::new(Some(stream.source().0.slot()));
            at.0.write(Record {
                head: Head {
                    one_of: OneOf { claim },
                    node: Node::new(),
                    post: NonNull::from(&self.post),
                    idle: Idle::new(),
                    certain: Cell::new(false),
                },
                slot,
                stream: UnsafeCell::new(MaybeUninit::new(stream)),
            });
        }
    }

    fn stream<'a>(&self, at: At<S>) -> &'a S {
        // SAFETY: whoever has the connection in hand calls this, and uses it while that is so.
        unsafe { (*at.record().stream.get()).assume_init_ref() }
    }

    /// Lets a connection rest, if there is nothing to read. `renew`: its time begins anew.
    fn rest(&self, at: At<S>, renew: bool) -> Rest {
        let fd = self.stream(at).source().0;
        match self.try_rest(fd, at, renew) {
            // Awake for another reason than bytes, perhaps.
            Ok(Rest::Not) if self.ending.seen() => Rest::Over,
            Ok(rest) => rest,
            Err(_) => Rest::Over,
        }
    }

    fn try_rest(&self, fd: &Fd, at: At<S>, renew: bool) -> Result<Rest, Error> {
        let timeout = self.options.idle_timeout;
        if renew {
            fd.set_deadline(Side::Read, timeout.map(|limit| Instant::now() + limit))?;
        }
        let mut locked = fd.lock(Mode::Read)?;
        while !locked.look(false)? {
            // SAFETY: until the server ends.
            let head = unsafe { &at.record().head };
            let (slot, word) = (fd.slot(), at.word());
            head.certain.set(!poll_under_way()); // behind the last read
            head.idle.begin();
            // Nobody's while it rests: the lock goes with the word.
            let forgotten = ManuallyDrop::new(locked);
            if forgotten.enlist(word) && head.idle.leave() {
                // From here on the connection is somebody else's, or gone. The word tells whether it is
                // still this one: while the server ends, its record gets no other.
                if self.ending.behind() {
                    self.take_back(slot, at);
                }
                return Ok(Rest::Left);
            }
            locked = ManuallyDrop::into_inner(forgotten);
            fd.check(Mode::Read)?;
            if self.ending.seen() {
                break;
            }
        }
        drop(locked);
        self.stop_clock(fd)?;
        Ok(Rest::Not)
    }

    /// The time that a connection may be idle is not its handler's.
    fn stop_clock(&self, fd: &Fd) -> Result<(), Error> {
        if self.options.idle_timeout.is_some() { fd.set_deadline(Side::Read, None) } else { Ok(()) }
    }

    /// Gives a connection a task. `news`: there is something to read, and nobody need look first.
    fn start<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>, at: At<S>, news: bool) {
        let mut pause = Pause::new();
        let task = || scope.try_spawn(self.options.stack_size, self.at, move || self.handle(at, news));
        while task().is_err() {
            pause.wait(); // until others have ended
        }
    }

    /// A connection's task.
    fn handle(&self, at: At<S>, news: bool) {
        let mut renew = false;
        let mut news = news && self.stop_clock(self.stream(at).source().0).is_ok();
        loop {
            if !news {
                match self.rest(at, renew) {
                    Rest::Left => return,
                    Rest::Over => break,
                    Rest::Not => {}
                }
            }
            if (self.handler)(self.stream(at)) == Next::Close {
                break;
            }
            (news, renew) = (false, true);
        }
        self.finish(at);
    }

    /// Closes a connection and gives its record back.
    fn finish(&self, at: At<S>) {
        // SAFETY: the caller has the connection in hand; the record is in no list.
        unsafe {
            (*at.record().stream.get()).assume_init_drop();
            self.free.push(at.node());
        }
        self.one_less();
    }

    fn one_less(&self) {
        if self.live.fetch_sub(1, Ordering::AcqRel) == 1 {
            // SAFETY: by the last, and there is no other behind it.
            let clerk = unsafe { Post::put(NonNull::from(&self.post), NonNull::from(&self.post.stop)) };
            clerk.into_iter().for_each(goready);
        }
    }

    /// Hands out tasks to the connections that come in, until the last of all.
    fn hand_out<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) {
        self.post.clerk.set(Some(getg()));
        loop {
            for node in self.post.inbox.take() {
                if node == NonNull::from(&self.post.stop) {
                    return;
                }
                self.wake(scope, At::of(node));
            }
            gopark(WaitReason::ChanReceive, |_| self.post.inbox.sleep());
        }
    }

    fn wake<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>, at: At<S>) {
        let fd = self.stream(at).source().0;
        // SAFETY: forgotten in `try_rest`; who takes the record out of the inbox is the one to take it up.
        let locked = unsafe { fd.locked(Mode::Read) };
        // SAFETY: as above.
        let certain = unsafe { at.record().head.certain.get() };
        // An edge woke it, and not one of what the last handler has read already: the kernel looks at a socket when
        // events are fetched, and these were fetched behind that read, for when the word was left nobody was
        // polling. Nor was it an edge of an urgent byte.
        let slot = fd.slot();
        let news = certain && slot.has_edge(Mode::Read) && !slot.hangup_seen();
        drop(locked);
        if self.ending.seen() || fd.check(Mode::Read).is_err() {
            self.finish(at);
        } else {
            self.start(scope, at, news);
        }
    }

    /// Lets nothing rest any more. The accepting task's last act.
    fn end(&self) {
        self.ending.begin();
        // SAFETY: the accepting task's.
        for at in unsafe { &*self.places.get() }.all() {
            // SAFETY: this task's to write, and there as long as the server; zeros in a record that has not
            // been used. So only this field.
            let slot = unsafe { (&raw const (*at.0.as_ptr()).slot).read().get() };
            if let Some(slot) = slot {
                self.take_back(slot, at);
            }
        }
        self.one_less();
    }

    /// Wakes a connection that rests, as an event would.
    fn take_back(&self, slot: &'static Slot, at: At<S>) {
        // SAFETY: a slot of this poller. It may be another connection's by now, or nobody's, where this word is not.
        let pd = unsafe { netpoll().registered(slot) };
        if pd.withdraw(Mode::Read, at.word()) {
            // SAFETY: the word was just taken out.
            let clerk = unsafe { claim(at.0.cast()) };
            clerk.into_iter().for_each(goready);
        }
    }
}

/// Whether an error of accepting is the listener's own, or the poller's.
fn is_final(e: Error) -> bool {
    match e {
        Error::Os(Call::Accept4, errno) => {
            matches!(
                errno,
                Errno::EBADF | Errno::EINVAL | Errno::ENOTSOCK | Errno::EOPNOTSUPP | Errno::EFAULT
            )
        }
        Error::Os(Call::EpollPwait, _) => true,
        Error::Os(..) => false,
        _ => true,
    }
}
