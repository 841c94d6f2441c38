//! The witness on closures and programs whose calls are known.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{io, ptr, thread};

use witness::{End, Expected, Outcome, Running, Trace, Witness, call, closure};

/// What an assertion that fails says.
fn failure(assertion: impl FnOnce()) -> String {
    let error = catch_unwind(AssertUnwindSafe(assertion)).expect_err("the assertion holds");
    *error.downcast::<String>().unwrap()
}

/// `close(-7)`, `epoll_create1`, `epoll_pwait` with a register of each kind, `close`.
fn waits() -> Trace {
    closure(|| {
        // SAFETY: there is room for one event.
        unsafe {
            libc::close(-7);
            let epfd = libc::epoll_create1(libc::EPOLL_CLOEXEC);
            libc::syscall(libc::SYS_epoll_pwait, epfd, [0u8; 12].as_mut_ptr(), 1, 5, 0, 8);
            libc::close(epfd);
        }
    })
    .unwrap()
}

#[test]
fn a_closure_makes_exactly_its_calls() {
    let trace = waits();
    trace.assert_sequence([
        call("close").int(0, -7).fails(libc::EBADF),
        call("epoll_create1").arg(0, 0x80000).shown(0, "EPOLL_CLOEXEC"),
        call("epoll_pwait").arg(2, 1).arg(3, 5).arg(4, 0).arg(5, 8).shown(1, "[]").returns(0),
        call("close").returns(0),
    ]);
    assert_eq!(trace.end, End::Exited(0));
    assert!(trace.calls[2].took >= Duration::from_millis(5), "{:?}", trace.calls[2]);
    assert!(trace.calls.is_sorted_by_key(|call| call.at));
    assert!(trace.calls.iter().all(|call| call.thread == trace.calls[0].thread && call.ip != 0));
}

#[test]
fn the_end_is_told() {
    assert_eq!(closure(|| panic!("on purpose")).unwrap().end, End::Exited(101));
    // SAFETY: ends the child.
    let trace = closure(|| unsafe { libc::_exit(3) }).unwrap();
    assert_eq!(trace.end, End::Exited(3));
    trace.assert_sequence(["exit_group"]);
    assert_eq!(trace.calls[0].outcome, Outcome::Pending);
    // SAFETY: ends the child.
    let killed = closure(|| unsafe { assert_eq!(libc::kill(libc::getpid(), libc::SIGKILL), 0) }).unwrap();
    assert_eq!(killed.end, End::Killed(libc::SIGKILL));
}

#[test]
fn a_sequence_that_differs_is_a_diff() {
    let expected: [Expected; 4] =
        [call("close").int(0, -8), "epoll_create1".into(), "epoll_pwait".into(), "close".into()];
    let text = failure(|| waits().assert_sequence(expected));
    assert!(
        text.contains("- close(-8)\n+ close(-7) = -1 EBADF    [fffffff9]\n  epoll_create1(EPOLL_CLOEXEC) = "),
        "{text}"
    );
    let text = failure(|| waits().assert_sequence(["close", "epoll_create1", "epoll_pwait"]));
    assert!(text.contains("+ close("), "{text}");
    let text =
        failure(|| waits().assert_sequence(["close", "epoll_create1", "read", "epoll_pwait", "close"]));
    assert!(text.contains("\n- read(..)\n"), "{text}");
}

#[test]
fn assertions_hold_or_name_the_calls() {
    let trace = waits();
    trace.assert_only(&["close", "epoll_create1", "epoll_pwait", "read"]);
    trace.assert_never("read");
    trace.assert_arg("epoll_pwait", 4, 0);
    trace.assert_at_most("close", 1, 2);
    assert!(failure(|| trace.assert_only(&["close", "epoll_pwait"])).contains("\n  epoll_create1("));
    assert!(failure(|| trace.assert_never("close")).contains("not expected, 2 of 4 calls"));
    assert!(failure(|| trace.assert_arg("epoll_pwait", 4, 1)).contains("epoll_pwait("));
    assert!(failure(|| trace.assert_arg("read", 0, 1)).contains("no read in"));
    assert!(failure(|| trace.assert_at_most("close", 1, 1)).contains("2 calls of close for 1 requests"));
    assert!(failure(|| trace.assert_never("clos")).contains("no system call is called clos"));
}

#[test]
fn arguments_are_decoded() {
    let trace = closure(|| {
        // SAFETY: buffers and structures live while the calls last.
        unsafe {
            let mut pipe = [0; 2];
            libc::pipe2(pipe.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK);
            libc::write(pipe[1], b"hello\n".as_ptr().cast(), 6);
            libc::read(pipe[0], [0u8; 64].as_mut_ptr().cast(), 64);
            let addr = libc::sockaddr_in {
                sin_family: libc::AF_INET as u16,
                sin_port: 0x1234u16.to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes([127, 0, 0, 1]) },
                sin_zero: [0; 8],
            };
            libc::connect(-1, (&raw const addr).cast(), 16);
            let mut event =
                libc::epoll_event { events: (libc::EPOLLIN | libc::EPOLLET) as u32, u64: 0x123456789 };
            libc::epoll_ctl(-1, libc::EPOLL_CTL_ADD, 7, &mut event);
            libc::openat(libc::AT_FDCWD, c"/no\nsuch".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
            libc::mmap(ptr::null_mut(), 0, libc::PROT_READ, libc::MAP_PRIVATE, -1, 0);
            libc::socket(libc::AF_INET6, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, -1);
            libc::syscall(libc::SYS_write, 1, 8, 5);
            libc::syscall(900, 1usize, 2usize, 3usize, 4usize, 5usize, 60usize);
        }
    })
    .unwrap();
    let shown: Vec<_> =
        trace.calls.iter().map(|call| format!("{}({})", call.name(), call.shown.join(", "))).collect();
    let (r, w) = (trace.calls[2].args[0], trace.calls[1].args[0]);
    assert_eq!(
        shown,
        [
            format!("pipe2([{r}, {w}], O_NONBLOCK|O_CLOEXEC)"),
            format!("write({w}, \"hello\\n\", 6)"),
            format!("read({r}, \"hello\\n\", 64)"),
            "connect(-1, 127.0.0.1:4660, 16)".into(),
            "epoll_ctl(-1, EPOLL_CTL_ADD, 7, {EPOLLIN|EPOLLET, 0x123456789})".into(),
            "openat(AT_FDCWD, \"/no\\nsuch\", O_WRONLY|O_CLOEXEC, 0o0)".into(),
            "mmap(0, 0, PROT_READ, MAP_PRIVATE, -1, 0)".into(),
            "socket(AF_INET6, SOCK_DGRAM|SOCK_CLOEXEC, -1)".into(),
            "write(1, 0x8, 5)".into(),
            "call_900(1, 2, 3, 4, 5, 0x3c)".into(),
        ]
    );
}

#[test]
fn threads_and_signals_are_followed() {
    let trace = closure(|| {
        // SAFETY: the handler does nothing; numbers.
        unsafe {
            extern "C" fn nothing(_: i32) {}
            libc::signal(libc::SIGUSR1, nothing as *const () as usize);
            libc::raise(libc::SIGUSR1);
        }
        thread::scope(|scope| {
            // SAFETY: a number.
            (0..3).for_each(|i| drop(scope.spawn(move || unsafe { libc::close(-100 - i) })));
        });
    })
    .unwrap();
    assert_eq!(trace.end, End::Exited(0));
    let closes = trace.only(|call| call.name() == "close" && (call.args[0] as i32) <= -100);
    let mut threads: Vec<_> = closes.calls.iter().map(|call| call.thread).collect();
    threads.dedup();
    assert_eq!((closes.calls.len(), threads.len()), (3, 3));
    assert!(trace.calls.iter().any(|call| call.name() == "rt_sigreturn"));
}

/// `cat`, which is told to end by the end of its input.
fn cat() -> Running {
    let mut command = Command::new("cat");
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    Witness::command(command).spawn().unwrap()
}

#[test]
fn a_program_is_traced_while_others_talk_to_it() {
    let mut cat = cat();
    let waits = |calls: &[witness::Call]| {
        calls.last().is_some_and(|call| {
            call.name() == "read" && call.args[0] == 0 && call.outcome == Outcome::Pending
        })
    };
    assert!(cat.wait_until(waits));
    let mark = cat.mark();
    for i in 1..=3 {
        cat.stdin.as_ref().unwrap().write_all(b"line\n").unwrap();
        assert!(cat.wait_until(|calls| calls.len() == mark + 2 * i && waits(calls)));
    }
    drop(cat.stdin.take());
    let trace = cat.finish().unwrap();
    assert_eq!(trace.end, End::Exited(0));
    let lines = trace.since(mark);
    Trace { calls: lines.calls[..6].to_vec(), ..lines }
        .assert_sequence(["write", "read", "write", "read", "write", "read"]);
}

#[test]
fn a_time_limit_ends_it() {
    let trace = Witness::new("sleep").args(["600"]).limit(Duration::from_secs(2)).run().unwrap();
    assert_eq!(trace.end, End::Killed(libc::SIGKILL));
    assert!(matches!(trace.calls.last().unwrap().outcome, Outcome::Pending | Outcome::Error(_)));
}

#[test]
fn dropped_it_is_killed() {
    let cat = cat();
    let pid = cat.pid;
    drop(cat);
    // SAFETY: signal 0 only asks.
    assert_eq!(unsafe { libc::kill(pid as i32, 0) }, -1);
}

#[test]
fn what_cannot_start_is_an_error() {
    let error = Witness::new("/no/such/program").run().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

/// Other children of the test process are left to whoever waits for them.
#[test]
fn other_children_are_not_reaped() {
    let mut other = Command::new("true").spawn().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| Witness::new("true").run().unwrap());
    });
    assert!(other.wait().unwrap().success());
}

/// Runs `body` under the filter of what `model` did, in a child.
fn under(filter: &witness::Filter, body: fn()) -> End {
    let program = filter.program();
    let status = |body: &dyn Fn()| {
        // SAFETY: the child makes system calls only, and ends.
        unsafe {
            let child = libc::fork();
            if child == 0 {
                body();
                libc::_exit(0);
            }
            let mut status = 0;
            assert_eq!(libc::waitpid(child, &mut status, 0), child);
            status
        }
    };
    let status = status(&|| {
        let prog = libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut() };
        // SAFETY: the program lives while the call lasts.
        unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const prog);
        }
        body();
    });
    if libc::WIFEXITED(status) {
        End::Exited(libc::WEXITSTATUS(status))
    } else {
        End::Killed(libc::WTERMSIG(status))
    }
}

#[test]
fn the_filter_allows_what_was_seen_and_kills_the_rest() {
    // SAFETY: numbers only, in all of these.
    let filter = closure(|| unsafe {
        libc::close(-7);
        libc::close(-7);
        libc::_exit(0)
    });
    let filter = filter.unwrap().filter();
    assert_eq!(filter.numbers(), [libc::SYS_close as u32, libc::SYS_exit_group as u32]);
    assert_eq!(filter.bytes().len(), 8 * filter.program().len());
    assert!(filter.source().contains("\n    3, // close\n"));
    let allowed = || {
        // SAFETY: a number.
        unsafe { libc::close(-9) };
    };
    let refused = || {
        // SAFETY: no argument.
        unsafe { libc::getpid() };
    };
    assert_eq!(under(&filter, allowed), End::Exited(0));
    assert_eq!(under(&filter, refused), End::Killed(libc::SIGSYS));
}

#[test]
fn the_program_prints_calls_and_a_table() {
    let folder = env!("CARGO_TARGET_TMPDIR");
    let (seccomp, list) = (format!("{folder}/filter"), format!("{folder}/list"));
    let output = Command::new(env!("CARGO_BIN_EXE_witness"))
        .args(["--seccomp", &seccomp, "--list", &list, "sh", "-c", "exit 3"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(text.contains(" exit_group(3) = ?\n") && text.contains("errors"), "{text}");
    assert!(text.ends_with("exited with 3\n"), "{text}");
    assert!(text.lines().any(|line| line.contains("mmap(") && line.contains("PROT_READ")), "{text}");
    let numbers = std::fs::read_to_string(list).unwrap().lines().count() - 2;
    assert_eq!(std::fs::read(seccomp).unwrap().len(), 8 * (5 + 2 * numbers));
    for misuse in [&[][..], &["--what"], &["--seccomp"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_witness")).args(misuse).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
    }
}

#[test]
fn accepted_addresses_are_shown() {
    let trace = closure(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        listener.accept().unwrap();
        drop(stream);
    })
    .unwrap();
    let accept = trace.calls.iter().find(|call| call.name() == "accept4").unwrap();
    assert!(accept.shown[1].starts_with("127.0.0.1:") && accept.shown[2] == "[16]", "{accept}");
}
