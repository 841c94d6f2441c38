//! Every system call of the network fails in turn, at its first, second, ... time, with each error that its
//! manual page documents; is interrupted over and over; and comes late. A program (`programs/src/faults.rs`)
//! makes one operation meanwhile. The operation fails with that call's error, or goes on if it should; no
//! more comes of it: another connection works, the operation works when it is repeated, and no descriptor,
//! task or waiter is left, which the program asserts itself. Nothing hangs.
//!
//! Not among the errors are those of arguments that no program here passes (EFAULT, ENOTSOCK, ..). An EAGAIN of a
//! transfer that could be made is a lie that no kernel tells; it is believed, as Go believes it, until the next
//! change or the deadline. The connection is none the worse for it: the next try finds what was there.

#[path = "../runtime/harness.rs"]
#[allow(dead_code, unused_macros)] // that other target uses more of it
#[macro_use]
mod harness;
mod inject;

use harness::{Profile, scenario};
use inject::{Act, Fault, Run, run};
use std::time::Duration;

/// What an operation comes to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    /// The error is told.
    Fails,
    /// The error is dealt with.
    GoesOn,
    /// One of these, as it is one call or another; or a peer sees the connection end.
    Either,
}

use Then::{Either, Fails, GoesOn};

/// At most as many of an operation's calls fail in turn.
const TURNS: u32 = 4;

/// How often an operation is made until it makes the call in question.
const TRIES: u32 = 20;

/// How often in a row a call is interrupted.
const STORM: u32 = 50;

/// An operation while a call fails: its words, the call, which of them, what comes of it, and the errors.
struct Row(&'static str, (i64, &'static str), fn(&[u64; 6]) -> bool, Then, &'static [i32]);

fn any(_: &[u64; 6]) -> bool {
    true
}

fn make(words: &str, fault: Fault) -> Run {
    let mut command = scenario(Profile::Release, "faults");
    command.args(words.split(' ')).env("NETPOLL_THREADS", "2");
    run(&mut command, fault)
}

/// The error's name, as strerrorname_np(3) has it.
fn name(errno: i32) -> String {
    netpoll::sys::Errno::from_raw(errno).name().unwrap().to_string()
}

/// What is wrong with a run, if anything.
fn judge(run: &Run, call: &str, then: Then, errno: Option<i32>) -> Option<String> {
    if run.status != Some(0) || !run.stderr.is_empty() {
        return Some(format!("{run:?}"));
    }
    let told = run.stdout.strip_suffix("\nok faults\n").unwrap_or("");
    let failed = errno.is_some_and(|errno| told == format!("{call}: {}", name(errno)));
    let ended = ["unexpected end of stream", "recvfrom: ECONNRESET", "sendto: ECONNRESET", "sendto: EPIPE"];
    let right = match then {
        Fails => failed,
        GoesOn => told == "fine",
        Either => failed || told == "fine" || ended.contains(&told),
    };
    (!right).then(|| format!("{told:?}"))
}

/// Each error of each row, at each of the first calls.
fn all(rows: &[Row]) {
    let mut wrong = Vec::new();
    for &Row(words, (call, name_of_call), only, then, errnos) in rows {
        for &errno in errnos {
            let spoils = call == libc::SYS_close
                || call == libc::SYS_connect && errno == libc::EINTR
                || call == libc::SYS_futex && std::ptr::fn_addr_eq(only, wakes as fn(&[u64; 6]) -> bool);
            let act = if spoils { Act::Spoil(errno) } else { Act::Refuse(errno) };
            for first in 1..=TURNS {
                // Whether threads sleep, and polls block, is up to chance.
                let mut runs = (0..TRIES).map(|_| make(words, Fault { call, only, first, count: 1, act }));
                let Some(run) = runs.find(|run| run.seen != 0 || run.status != Some(0)) else {
                    wrong.push(format!("{words}: no {name_of_call}"));
                    break;
                };
                if run.seen < first && run.status == Some(0) {
                    break;
                }
                let wrongs = judge(&run, name_of_call, then, Some(errno));
                wrong
                    .extend(wrongs.map(|w| format!("{words}: {name_of_call} {first}, {}: {w}", name(errno))));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}

macro_rules! calls {
    ($($constant:ident = $nr:ident $name:literal;)*) => {
        $(const $constant: (i64, &str) = (libc::$nr, $name);)*
    };
}

calls! {
    SOCKET = SYS_socket "socket"; BIND = SYS_bind "bind"; LISTEN = SYS_listen "listen";
    ACCEPT4 = SYS_accept4 "accept4"; CONNECT = SYS_connect "connect"; SOCKETPAIR = SYS_socketpair "socketpair";
    SETSOCKOPT = SYS_setsockopt "setsockopt"; GETSOCKOPT = SYS_getsockopt "getsockopt";
    GETSOCKNAME = SYS_getsockname "getsockname"; GETPEERNAME = SYS_getpeername "getpeername";
    EPOLL_CREATE1 = SYS_epoll_create1 "epoll_create1"; EVENTFD2 = SYS_eventfd2 "eventfd2";
    EPOLL_CTL = SYS_epoll_ctl "epoll_ctl"; EPOLL_PWAIT = SYS_epoll_pwait "epoll_pwait";
    EPOLL_PWAIT2 = SYS_epoll_pwait2 "epoll_pwait"; READ = SYS_read "read"; WRITE = SYS_write "write";
    READV = SYS_readv "readv"; WRITEV = SYS_writev "writev"; RECVFROM = SYS_recvfrom "recvfrom";
    SENDTO = SYS_sendto "sendto"; RECVMSG = SYS_recvmsg "recvmsg"; SENDMSG = SYS_sendmsg "sendmsg";
    RECVMMSG = SYS_recvmmsg "recvmmsg"; SENDMMSG = SYS_sendmmsg "sendmmsg"; SPLICE = SYS_splice "splice";
    SENDFILE = SYS_sendfile "sendfile"; PIPE2 = SYS_pipe2 "pipe2"; CLOSE = SYS_close "close";
    SHUTDOWN = SYS_shutdown "shutdown"; PPOLL = SYS_ppoll "ppoll"; MMAP = SYS_mmap "mmap";
    MADVISE = SYS_madvise "madvise"; MPROTECT = SYS_mprotect "mprotect"; CLONE = SYS_clone "clone";
    FCNTL = SYS_fcntl "fcntl"; SIGNALFD4 = SYS_signalfd4 "signalfd4"; MUNMAP = SYS_munmap "munmap";
    OPENAT = SYS_openat "openat"; GETRANDOM = SYS_getrandom "getrandom";
    FUTEX = SYS_futex "futex"; NANOSLEEP = SYS_nanosleep "nanosleep";
}

use libc::{
    EACCES, EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EAGAIN, EBADF, ECONNABORTED, ECONNREFUSED, ECONNRESET,
    EFAULT, EHOSTUNREACH, EINTR, EINVAL, EIO, EMFILE, EMSGSIZE, ENETDOWN, ENETUNREACH, ENFILE, ENOBUFS,
    ENODEV, ENOENT, ENOMEM, ENOPROTOOPT, ENOSPC, ENOSYS, ENOTCONN, EOPNOTSUPP, EPERM, EPIPE, EPROTO,
    ETIMEDOUT, ETOOMANYREFS,
};

fn add(args: &[u64; 6]) -> bool {
    args[1] == libc::EPOLL_CTL_ADD as u64
}

fn modify(args: &[u64; 6]) -> bool {
    args[1] == libc::EPOLL_CTL_MOD as u64
}

fn delete(args: &[u64; 6]) -> bool {
    args[1] == libc::EPOLL_CTL_DEL as u64
}

/// Eight bytes wake the poller; nothing else here is as long.
fn not_a_break(args: &[u64; 6]) -> bool {
    args[2] != 8
}

fn a_break(args: &[u64; 6]) -> bool {
    !not_a_break(args)
}

fn waits(args: &[u64; 6]) -> bool {
    args[1] as i32 & libc::FUTEX_CMD_MASK == libc::FUTEX_WAIT
}

/// A FUTEX_WAKE that fails has woken nevertheless, in [`all`]: the kernel refuses none of a word that is mapped.
fn wakes(args: &[u64; 6]) -> bool {
    args[1] as i32 & libc::FUTEX_CMD_MASK == libc::FUTEX_WAKE
}

const SOCKETS: &[Row] = &[
    Row("listen", SOCKET, any, Fails, &[EMFILE, ENFILE, ENOBUFS, ENOMEM, EACCES, EAFNOSUPPORT]),
    Row("listen", SETSOCKOPT, any, Fails, &[ENOMEM, ENOPROTOOPT]),
    Row("listen", BIND, any, Fails, &[EADDRINUSE, EADDRNOTAVAIL, EACCES, ENOMEM, EINVAL]),
    Row("listen", LISTEN, any, Fails, &[EADDRINUSE, EOPNOTSUPP]),
    Row("listen", GETSOCKNAME, any, Fails, &[ENOBUFS]),
    Row("listen", EPOLL_CTL, add, Fails, &[ENOMEM, ENOSPC, EPERM]),
    Row("build", SETSOCKOPT, any, Fails, &[ENOMEM, EPERM]),
    Row("build", SOCKET, any, Fails, &[EMFILE]),
    Row("unix", SOCKETPAIR, any, Fails, &[EMFILE, ENFILE, ENOMEM]),
    Row("unix", EPOLL_CTL, add, Fails, &[ENOMEM, ENOSPC]),
    Row("unix", BIND, any, Fails, &[EADDRINUSE, EACCES, ENOENT]),
    Row("unix", SOCKET, any, Fails, &[EMFILE, ENOBUFS]),
    Row("pipes", PIPE2, any, Fails, &[EMFILE, ENFILE]),
    Row("pipes", EPOLL_CTL, add, Fails, &[ENOMEM, ENOSPC]),
    Row("adopt", FCNTL, any, Fails, &[EBADF, EPERM, EINVAL]),
    Row("adopt", EPOLL_CTL, add, Fails, &[ENOMEM, ENOSPC]),
    Row("low", FCNTL, any, Fails, &[EMFILE, EINVAL]),
    Row("signals", SIGNALFD4, any, Fails, &[EMFILE, ENFILE, ENODEV, ENOMEM, EINVAL]),
    Row("signals", EPOLL_CTL, add, Fails, &[ENOMEM, ENOSPC]),
    Row("signals", READ, any, Fails, &[EIO]),
];

const POLLER: &[Row] = &[
    Row("listen cold", EPOLL_CREATE1, any, Fails, &[EMFILE, ENFILE, ENOMEM]),
    Row("listen cold", EVENTFD2, any, Fails, &[EMFILE, ENFILE, ENOMEM, ENODEV]),
    Row("listen cold", EPOLL_CTL, add, Fails, &[ENOMEM, ENOSPC]),
    Row("listen cold", MMAP, any, Either, &[ENOMEM]),
    Row("listen cold", CLOSE, any, GoesOn, &[EINTR, EIO]),
];

const REFUSED: &[i32] =
    &[ECONNREFUSED, ETIMEDOUT, ENETUNREACH, EHOSTUNREACH, EADDRNOTAVAIL, EACCES, EPERM, EAFNOSUPPORT];

const CONNECTIONS: &[Row] = &[
    Row("connect", SOCKET, any, Fails, &[EMFILE, ENFILE, ENOBUFS, ENOMEM]),
    Row("connect", CONNECT, any, Fails, REFUSED),
    Row("connect", CONNECT, any, Fails, &[EAGAIN]), // no port is free
    Row("connect", CONNECT, any, GoesOn, &[EINTR]),
    Row("connect", GETSOCKOPT, any, Fails, &[ENOBUFS, ENOMEM]),
    Row("connect", GETPEERNAME, any, Fails, &[ENOBUFS]),
    Row("connect", EPOLL_CTL, add, Fails, &[ENOMEM, ENOSPC]),
    Row("unix", CONNECT, any, Fails, &[ECONNREFUSED, EACCES, ENOENT]),
    Row("unix", CONNECT, any, GoesOn, &[EAGAIN]), // the queue is full
    Row("accept", ACCEPT4, any, GoesOn, &[ECONNABORTED, EMFILE, ENFILE, ENOBUFS, ENOMEM, EINTR]),
    Row("accept", ACCEPT4, any, Fails, &[EPERM, EPROTO, ENETDOWN, EOPNOTSUPP]),
    Row("unix", ACCEPT4, any, GoesOn, &[ECONNABORTED, EMFILE, ENOMEM, EINTR]),
];

const READING: &[i32] = &[ECONNRESET, ETIMEDOUT, EHOSTUNREACH, EIO, ENOMEM];

const WRITING: &[i32] = &[EPIPE, ECONNRESET, ETIMEDOUT, EHOSTUNREACH, ENOBUFS, ENOMEM, EPERM];

const TRANSFERS: &[Row] = &[
    Row("bytes", RECVFROM, any, Fails, READING),
    Row("bytes", SENDTO, any, Fails, WRITING),
    Row("vectors", READV, any, Fails, READING),
    Row("vectors", WRITEV, any, Fails, WRITING),
    Row("peek", RECVFROM, any, Fails, READING),
    Row("fill", SENDTO, any, Fails, &[EPIPE, ECONNRESET]),
    Row("fill", EPOLL_CTL, modify, Fails, &[ENOMEM, ENOSPC]),
    Row("pipes", READ, any, Fails, &[EIO]),
    Row("pipes", WRITE, not_a_break, Fails, &[EPIPE]),
    Row("rights", SENDMSG, any, Fails, &[EPIPE, ECONNRESET, ENOBUFS, ENOMEM, ETOOMANYREFS]),
    Row("rights", RECVMSG, any, Fails, &[ECONNRESET, ENOMEM]),
    Row("udp", SENDTO, any, Fails, &[EPERM, EACCES, EMSGSIZE, ENETUNREACH, ENOBUFS, ENOMEM, ECONNREFUSED]),
    Row("udp", RECVFROM, any, Fails, &[ECONNREFUSED, ENOMEM]),
    Row("batches", SENDMMSG, any, Fails, &[ENOBUFS, ENOMEM, ECONNREFUSED]),
    Row("batches", RECVMMSG, any, Fails, &[ENOMEM, ECONNREFUSED]),
];

const FILES_AND_NAMES: &[Row] = &[
    Row("open", OPENAT, any, Fails, &[EACCES, EMFILE, ENFILE, ENOENT, ENOMEM]),
    Row("open", OPENAT, any, GoesOn, &[EINTR]),
    Row("open", READ, any, Fails, &[EIO]),
    Row("lookup", OPENAT, any, Fails, &[EMFILE, ENFILE, ENOMEM]),
    Row("lookup", OPENAT, any, GoesOn, &[EINTR, ENOENT, EACCES]),
    Row("lookup", READ, any, Fails, &[EIO]),
    Row("lookup", GETRANDOM, any, Fails, &[ENOSYS]),
    Row("lookup", GETRANDOM, any, GoesOn, &[EINTR]),
    Row("lookup", SOCKET, any, Either, &[EMFILE, ENFILE, ENOBUFS, ENOMEM]),
    Row("lookup", EPOLL_CTL, add, Either, &[ENOMEM, ENOSPC]),
];

/// EAGAIN without reason.
const LIES: &[Row] = &[
    Row("again", RECVFROM, any, GoesOn, &[EAGAIN]),
    Row("again", SENDTO, any, GoesOn, &[EAGAIN]),
    Row("again", ACCEPT4, any, GoesOn, &[EAGAIN]),
    Row("pipes", WRITE, not_a_break, GoesOn, &[EAGAIN]),
    Row("rights", SENDMSG, any, GoesOn, &[EAGAIN]),
    Row("udp", SENDTO, any, GoesOn, &[EAGAIN]),
    Row("batches", SENDMMSG, any, GoesOn, &[EAGAIN]),
];

const COPIES: &[Row] = &[
    Row("splice", SPLICE, any, Fails, &[EIO, ENOMEM, ECONNRESET, EPIPE]),
    Row("splice", PIPE2, any, GoesOn, &[EMFILE, ENFILE]),
    Row("splice", SPLICE, any, GoesOn, &[EINTR]),
    Row("sendfile", SENDFILE, any, Fails, &[EIO, ENOMEM, EPIPE, ECONNRESET]),
    Row("sendfile", SENDFILE, any, GoesOn, &[EINTR]),
];

const ENDS: &[Row] = &[
    Row("options", SETSOCKOPT, any, Fails, &[ENOMEM, ENOPROTOOPT, EPERM]),
    Row("options", GETSOCKOPT, any, Fails, &[ENOMEM, ENOPROTOOPT]),
    Row("shutdown", SHUTDOWN, any, Fails, &[ENOTCONN, ENOBUFS]),
    Row("close", CLOSE, any, GoesOn, &[EINTR, EIO]),
    Row("close", EPOLL_CTL, delete, GoesOn, &[ENOENT, ENOMEM]),
    Row("listen", CLOSE, any, GoesOn, &[EINTR, EIO]),
    Row("connect", CLOSE, any, GoesOn, &[EINTR, EIO]),
];

const SCHEDULER: &[Row] = &[
    Row("spawn", MMAP, any, GoesOn, &[ENOMEM, EAGAIN]),
    Row("spawn", MADVISE, any, GoesOn, &[EINVAL, ENOMEM, EAGAIN]),
    Row("spawn cold", CLONE, any, GoesOn, &[EAGAIN, ENOMEM]),
    Row("spawn cold", MMAP, any, GoesOn, &[ENOMEM]),
    Row("spawn cold", MPROTECT, any, GoesOn, &[ENOMEM]),
    Row("sleep", MMAP, any, GoesOn, &[ENOMEM]),
    Row("sleep", EPOLL_PWAIT2, any, GoesOn, &[EINTR, ENOSYS, EPERM]),
    Row("park", EPOLL_PWAIT2, any, GoesOn, &[EINTR, ENOSYS, EPERM]),
    Row("park", EPOLL_PWAIT, any, GoesOn, &[EINTR]),
    Row("park", FUTEX, waits, GoesOn, &[EINTR, EAGAIN]),
    Row("park", FUTEX, wakes, GoesOn, &[EFAULT, EINVAL, ENOSYS]),
    Row("breaks", WRITE, a_break, GoesOn, &[EINTR]),
];

const ACCEPTING: &[i32] =
    &[ECONNABORTED, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM, EPROTO, ENETDOWN, ENETUNREACH, EINTR];

const SERVER: &[Row] = &[
    Row("serve", ACCEPT4, any, GoesOn, ACCEPTING),
    Row("serve", EPOLL_CTL, add, Either, &[ENOMEM, ENOSPC]),
    Row("serve", RECVFROM, any, Either, &[ECONNRESET, ETIMEDOUT]),
    Row("serve", SENDTO, any, Either, &[EPIPE, ECONNRESET]),
    Row("serve", PPOLL, any, GoesOn, &[EINTR, ENOMEM]),
    Row("serve", MMAP, any, Either, &[ENOMEM]),
    Row("serve", MUNMAP, any, GoesOn, &[EINVAL, ENOMEM]),
    Row("serve", FUTEX, wakes, GoesOn, &[EFAULT, EINVAL]),
];

/// A test for each of these tables.
macro_rules! tables {
    ($($name:ident $rows:ident)*) => {
        $(
            #[test]
            fn $name() {
                all($rows);
            }
        )*
    };
}

tables! {
    sockets_that_cannot_be_made SOCKETS
    a_poller_that_cannot_be_made POLLER
    connections_that_do_not_come CONNECTIONS
    transfers_that_fail TRANSFERS
    files_and_names FILES_AND_NAMES
    an_eagain_without_reason LIES
    copies_that_fail COPIES
    options_and_ends_that_fail ENDS
    the_scheduler_goes_on SCHEDULER
    a_server_goes_on SERVER
}

/// The poller's descriptor is gone: everything fails from then on, and says so.
#[test]
fn a_poller_that_is_lost() {
    for (call, only) in [(libc::SYS_epoll_pwait2, any as fn(&[u64; 6]) -> bool), (libc::SYS_epoll_pwait, any)]
    {
        let fault = Fault { call, only, first: 1, count: u32::MAX, act: Act::Refuse(EBADF) };
        // The last call of all may have been the only one.
        let mut runs = (0..TRIES).map(|_| make("park lost", fault));
        let told = runs.any(|run| {
            assert_eq!((run.status, &*run.stderr), (Some(0), ""), "{run:?}");
            assert!(
                ["epoll_pwait: EBADF\nok faults\n", "fine\nok faults\n"].contains(&&*run.stdout),
                "{run:?}"
            );
            run.stdout.starts_with("epoll")
        });
        assert!(told);
    }
}

/// Calls are interrupted over and over; and once, each comes late.
#[test]
fn storms_and_delays() {
    let calls: &[(&str, &[(i64, &str)])] = &[
        ("accept", &[ACCEPT4, EPOLL_PWAIT]),
        ("connect", &[CONNECT, EPOLL_PWAIT]),
        ("bytes", &[RECVFROM, SENDTO]),
        ("vectors", &[READV, WRITEV]),
        ("peek", &[RECVFROM]),
        ("park", &[EPOLL_PWAIT, EPOLL_PWAIT2, FUTEX, RECVFROM, SENDTO]),
        ("breaks", &[WRITE]),
        ("fill", &[RECVFROM, SENDTO, EPOLL_PWAIT]),
        ("rights", &[SENDMSG, RECVMSG]),
        ("udp", &[SENDTO, RECVFROM]),
        ("batches", &[SENDMMSG, RECVMMSG]),
        ("pipes", &[READ, WRITE]),
        ("splice", &[SPLICE]),
        ("sendfile", &[SENDFILE]),
        ("sleep", &[EPOLL_PWAIT2, FUTEX, NANOSLEEP]),
        ("serve", &[ACCEPT4, RECVFROM, SENDTO, PPOLL, FUTEX, EPOLL_PWAIT2]),
    ];
    let mut wrong = Vec::new();
    for &(words, calls) in calls {
        for &(call, name_of_call) in calls {
            let only = if call == libc::SYS_futex { waits } else { any };
            for act in [Act::Refuse(EINTR), Act::Delay(Duration::from_millis(5))] {
                // A connect that is interrupted has begun, and is not made again.
                if call == libc::SYS_connect && matches!(act, Act::Refuse(_)) {
                    continue;
                }
                let count = if matches!(act, Act::Refuse(_)) { STORM } else { 2 };
                let run = make(words, Fault { call, only, first: 1, count, act });
                let wrongs = judge(&run, name_of_call, GoesOn, None);
                wrong.extend(wrongs.map(|w| format!("{words}: {name_of_call}, {act:?}: {w}")));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}
