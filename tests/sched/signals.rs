//! Signals to a program of several threads: none has its usual effect on any of them.

use crate::harness::{Profile, finish_within};
use crate::{LIMIT, THREADS, each, one_at_a_time, with_threads};
use std::io::{BufRead, BufReader};
use std::mem::zeroed;

each! { [Profile::Release, Profile::Debug], THREADS;
    signal_masks_of_all_threads
    signal_handler_of_the_program_s
}

/// Signals to the process, and to each of its threads that run tasks.
const ROUNDS: u32 = 2000;

/// Sends `signal` with a value, as sigqueue(3), to process `pid` or to thread `tid` of it.
fn queue(pid: i32, tid: Option<i32>, signal: i32, value: u32) {
    // SAFETY: a structure of integers and pointers.
    let mut info: libc::siginfo_t = unsafe { zeroed() };
    info.si_signo = signal;
    info.si_code = libc::SI_QUEUE;
    // SAFETY: behind the head of 16 bytes are sender, user and value of a signal that is sent like this;
    // the calls read the structure.
    let sent = unsafe {
        let fields = (&raw mut info).byte_add(16).cast::<u32>();
        fields.write(std::process::id());
        fields.add(2).write(value);
        match tid {
            Some(tid) => libc::syscall(libc::SYS_rt_tgsigqueueinfo, pid, tid, signal, &info),
            None => libc::syscall(libc::SYS_rt_sigqueueinfo, pid, signal, &info),
        }
    };
    assert_eq!(sent, 0, "{}", std::io::Error::last_os_error());
}

/// Real-time signals arrive all, in the order in which they were sent; of the others, at least one and no
/// more than were sent. Those to a thread arrive when it reads.
#[test]
fn signals_at_random_to_the_process_and_its_threads() {
    let _one = one_at_a_time();
    for threads in THREADS {
        let mut child = with_threads(Profile::Release, "signals_from_outside", threads).spawn().unwrap();
        let pid = child.id() as i32;
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let told = lines.by_ref().take_while(|line| line != "ready");
        let mut tids: Vec<i32> = told.map(|line| line.parse().unwrap()).collect();
        assert_eq!(tids.len(), threads.parse::<usize>().unwrap());
        tids.sort_unstable();
        tids.dedup(); // one that was preempted may have told of a thread twice
        let count = tids.len();
        let (mut next, mut of_threads, mut random) = ([0, 0], vec![0; count], 1u32);
        for _ in 0..ROUNDS {
            random ^= random << 13;
            random ^= random >> 17;
            random ^= random << 5;
            let thread = random as usize % count;
            // SAFETY: the calls take numbers; the child is not waited for yet.
            let to_thread =
                |signal: i32| unsafe { libc::syscall(libc::SYS_tgkill, pid, tids[thread], signal) };
            match random >> 8 & 7 {
                0..=2 => {
                    let which = (random >> 16 & 1) as usize;
                    queue(pid, None, 40 + which as i32, next[which]);
                    next[which] += 1;
                }
                3 | 4 => {
                    queue(pid, Some(tids[thread]), 50, (thread as u32) << 16 | of_threads[thread]);
                    of_threads[thread] += 1;
                }
                5 => assert_eq!(to_thread(libc::SIGUSR1), 0),
                6 => assert_eq!(to_thread(libc::SIGSTKFLT), 0), // the runtime's own: nobody minds
                // SAFETY: as above.
                _ => assert_eq!(unsafe { libc::kill(pid, libc::SIGUSR1) }, 0),
            }
        }
        // SAFETY: as above. One to the process at least.
        assert_eq!(unsafe { libc::kill(pid, libc::SIGUSR1) }, 0);
        queue(pid, None, 42, of_threads.iter().sum());
        let told: Vec<String> = lines.collect();
        let outcome = finish_within(child, LIMIT).unwrap_or_else(|outcome| panic!("{threads}: {outcome:?}"));
        assert!(
            outcome.status.success() && outcome.stderr.is_empty(),
            "{threads} threads: {outcome:?} {told:?}"
        );
        let [received, ok] = &told[..] else { panic!("{told:?}") };
        assert_eq!(ok, "ok signals_from_outside");
        let numbers: Vec<u32> = received.split(' ').map(|n| n.parse().unwrap()).collect();
        assert_eq!(numbers[..2], next);
        assert!((1..=ROUNDS).contains(&numbers[2]), "{numbers:?}");
    }
}
