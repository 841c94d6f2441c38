//! epoll and eventfd.

use std::mem::MaybeUninit;
use std::ptr::{null, null_mut};

use netpoll::sys::epoll::*;
use netpoll::sys::eventfd::*;
use netpoll::sys::fd::{read, write};
use netpoll::sys::{Errno, RawFd};

use super::world::*;
use super::{BAD, Case, INVALID, NOT_OPEN, err, sys, table};
use super::{C_LATE, C_NOW, LATE, NOW};

fn events() -> [MaybeUninit<EpollEvent>; 4] {
    [MaybeUninit::uninit(); 4]
}

fn c_events() -> [libc::epoll_event; 4] {
    [libc::epoll_event { events: 0, u64: 0 }; 4]
}

const IN: EpollEvent = EpollEvent::new(EpollFlags::IN, 7);
static C_IN: libc::epoll_event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 7 };

/// libc's epoll_ctl.
fn c_ctl(epfd: RawFd, op: i32, fd: RawFd) -> Outcome {
    // SAFETY: the event is readable.
    c(unsafe { libc::epoll_ctl(epfd, op, fd, &mut C_IN.clone()) })
}

/// `sc`'s epoll_ctl.
fn sc_ctl(epfd: RawFd, op: i32, fd: RawFd) -> Outcome {
    // SAFETY: the event is readable.
    unsafe { sys!(EPOLL_CTL, epfd as isize, op, fd as isize, &raw const C_IN) }
}

/// The event that a successful wait wrote first.
fn event(events: &[MaybeUninit<EpollEvent>]) -> EpollEvent {
    // SAFETY: called after a wait that returned 1.
    unsafe { events[0].assume_init() }
}

#[rustfmt::skip]
pub fn cases() -> Vec<Case> {
    use CtlOp::{Add, Del, Mod};
    use libc::{EPOLL_CTL_ADD as ADD, EPOLL_CTL_DEL as DEL, EPOLL_CTL_MOD as MOD};
    table! {
        "epoll_create1" => 0; |w|
            w.new_fd(epoll_create1(EpollCreateFlags::CLOEXEC).outcome());
            w.new_fd(sys!(EPOLL_CREATE1, libc::EPOLL_CLOEXEC));
            w.new_fd(c(libc::epoll_create1(libc::EPOLL_CLOEXEC)));
        "epoll_create1, all flags" => INVALID; |_|
            epoll_create1(EpollCreateFlags::from_bits_retain(!0)).outcome();
            sys!(EPOLL_CREATE1, -1isize);
            c(libc::epoll_create1(-1));
        "epoll_ctl, epfd not open" => NOT_OPEN; |w|
            epoll_ctl(-1, Add, w.event, Some(&IN)).outcome();
            sc_ctl(-1, ADD, w.event);
            c_ctl(-1, ADD, w.event);
        "epoll_ctl, fd not open" => NOT_OPEN; |w|
            epoll_ctl(w.epoll, Add, BAD, Some(&IN)).outcome();
            sc_ctl(w.epoll, ADD, BAD);
            c_ctl(w.epoll, ADD, BAD);
        "epoll_ctl, epfd is no epoll" => INVALID; |w|
            epoll_ctl(w.event, Add, w.watched, Some(&IN)).outcome();
            sc_ctl(w.event, ADD, w.watched);
            c_ctl(w.event, ADD, w.watched);
        "epoll_ctl, itself" => INVALID; |w|
            epoll_ctl(w.epoll, Add, w.epoll, Some(&IN)).outcome();
            sc_ctl(w.epoll, ADD, w.epoll);
            c_ctl(w.epoll, ADD, w.epoll);
        "epoll_ctl, a directory" => err(Errno::EPERM); |w|
            epoll_ctl(w.epoll, Add, w.dir, Some(&IN)).outcome();
            sc_ctl(w.epoll, ADD, w.dir);
            c_ctl(w.epoll, ADD, w.dir);
        "epoll_ctl, a regular file" => err(Errno::EPERM); |w|
            epoll_ctl(w.epoll, Add, w.file, Some(&IN)).outcome();
            sc_ctl(w.epoll, ADD, w.file);
            c_ctl(w.epoll, ADD, w.file);
        "epoll_ctl, no event" => err(Errno::EFAULT); |w|
            epoll_ctl(w.epoll, Add, w.event, None).outcome();
            sys!(EPOLL_CTL, w.epoll, ADD, w.event, 0usize);
            c(libc::epoll_ctl(w.epoll, ADD, w.event, null_mut()));
        "epoll_ctl, add twice" => err(Errno::EEXIST); |w|
            epoll_ctl(w.epoll, Add, w.watched, Some(&IN)).outcome();
            sc_ctl(w.epoll, ADD, w.watched);
            c_ctl(w.epoll, ADD, w.watched);
        "epoll_ctl, modify what is not there" => err(Errno::ENOENT); |w|
            epoll_ctl(w.epoll, Mod, w.event, Some(&IN)).outcome();
            sc_ctl(w.epoll, MOD, w.event);
            c_ctl(w.epoll, MOD, w.event);
        "epoll_ctl, delete what is not there" => err(Errno::ENOENT); |w|
            epoll_ctl(w.epoll, Del, w.event, None).outcome();
            sc_ctl(w.epoll, DEL, w.event);
            c_ctl(w.epoll, DEL, w.event);
        "epoll_ctl, modify" => 0; |w|
            epoll_ctl(w.epoll, Mod, w.watched, Some(&IN)).outcome();
            sc_ctl(w.epoll, MOD, w.watched);
            c_ctl(w.epoll, MOD, w.watched);
        "epoll_pwait, one event and its word" => 7; |w|
            { let mut e = events(); assert_eq!(epoll_pwait(w.epoll, &mut e, 0), Ok(1)); event(&e).data as Outcome };
            { let mut e = c_events(); assert_eq!(sys!(EPOLL_PWAIT, w.epoll, e.as_mut_ptr(), 4, 0, 0usize, 8), 1); e[0].u64 as Outcome };
            { let mut e = c_events(); assert_eq!(libc::epoll_pwait(w.epoll, e.as_mut_ptr(), 4, 0, null()), 1); e[0].u64 as Outcome };
        "epoll_pwait, room for none" => INVALID; |w|
            epoll_pwait(w.epoll, &mut [], 0).outcome();
            sys!(EPOLL_PWAIT, w.epoll, c_events().as_mut_ptr(), 0, 0, 0usize, 8);
            c(libc::epoll_pwait(w.epoll, c_events().as_mut_ptr(), 0, 0, null()));
        "epoll_pwait, not open" => NOT_OPEN; |_|
            epoll_pwait(-1, &mut events(), 0).outcome();
            sys!(EPOLL_PWAIT, -1isize, c_events().as_mut_ptr(), 4, 0, 0usize, 8);
            c(libc::epoll_pwait(-1, c_events().as_mut_ptr(), 4, 0, null()));
        "epoll_pwait, no epoll" => INVALID; |w|
            epoll_pwait(w.event, &mut events(), 0).outcome();
            sys!(EPOLL_PWAIT, w.event, c_events().as_mut_ptr(), 4, 0, 0usize, 8);
            c(libc::epoll_pwait(w.event, c_events().as_mut_ptr(), 4, 0, null()));
        "epoll_pwait2, one event" => 1; |w|
            epoll_pwait2(w.epoll, &mut events(), Some(&NOW)).outcome();
            sys!(EPOLL_PWAIT2, w.epoll, c_events().as_mut_ptr(), 4, &raw const C_NOW, 0usize, 8);
            c(libc::syscall(libc::SYS_epoll_pwait2, w.epoll, c_events().as_mut_ptr(), 4, &raw const C_NOW, 0usize, 8usize));
        "epoll_pwait2, a second of nanoseconds" => INVALID; |w|
            epoll_pwait2(w.epoll, &mut events(), Some(&LATE)).outcome();
            sys!(EPOLL_PWAIT2, w.epoll, c_events().as_mut_ptr(), 4, &raw const C_LATE, 0usize, 8);
            c(libc::syscall(libc::SYS_epoll_pwait2, w.epoll, c_events().as_mut_ptr(), 4, &raw const C_LATE, 0usize, 8usize));
        "epoll_ctl, delete" => 0; |w|
            epoll_ctl(w.epoll, Del, w.watched, None).outcome();
            sc_ctl(w.epoll, DEL, w.watched);
            c_ctl(w.epoll, DEL, w.watched);
        "epoll_pwait, nothing watched" => 0; |w|
            epoll_pwait(w.epoll, &mut events(), 0).outcome();
            sys!(EPOLL_PWAIT, w.epoll, c_events().as_mut_ptr(), 4, 0, 0usize, 8);
            c(libc::epoll_pwait(w.epoll, c_events().as_mut_ptr(), 4, 0, null()));
        "eventfd2" => 0; |w|
            w.new_fd(eventfd2(0, EventfdFlags::all()).outcome());
            w.new_fd(sys!(EVENTFD2, 0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK | 1));
            w.new_fd(c(libc::eventfd(0, libc::EFD_CLOEXEC)));
        "eventfd2, all flags" => INVALID; |_|
            eventfd2(0, EventfdFlags::from_bits_retain(!0)).outcome();
            sys!(EVENTFD2, 0, -1isize);
            c(libc::eventfd(0, -1));
        "read an eventfd at 0" => err(Errno::EAGAIN); |w|
            read(w.event, &mut [0; 8]).outcome();
            sys!(READ, w.event, [0u8; 8].as_mut_ptr(), 8);
            c_size(libc::read(w.event, [0u8; 8].as_mut_ptr().cast(), 8));
        "read an eventfd, 7 bytes" => INVALID; |w|
            read(w.watched, &mut [0; 7]).outcome();
            sys!(READ, w.watched, [0u8; 7].as_mut_ptr(), 7);
            c_size(libc::read(w.watched, [0u8; 7].as_mut_ptr().cast(), 7));
        "write -1 to an eventfd" => INVALID; |w|
            write(w.event, &[0xff; 8]).outcome();
            sys!(WRITE, w.event, [0xffu8; 8].as_ptr(), 8);
            c_size(libc::write(w.event, [0xffu8; 8].as_ptr().cast(), 8));
    }
}
