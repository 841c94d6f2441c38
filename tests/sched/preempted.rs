//! Tasks that are interrupted wherever they stand, thousands of times a second.

use crate::harness::{Outcome, PROFILES, Profile, finish_within, program};
use crate::{LIMIT, THREADS, one_at_a_time, with_threads};
use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Runs the command, and sends each of its threads SIGURG, the monitor's signal, over and over.
fn bombarded(mut command: Command) -> Outcome {
    let child = command.spawn().unwrap();
    let (pid, done) = (child.id() as i32, AtomicBool::new(false));
    thread::scope(|s| {
        s.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return };
                let tids: Vec<i32> =
                    tasks.filter_map(|task| task.ok()?.file_name().to_str()?.parse().ok()).collect();
                for _ in 0..50 {
                    for tid in &tids {
                        // SAFETY: the call takes no pointer. The child is not waited for before `done`, but
                        // for the moment in between its number is still its own: it is a zombie.
                        unsafe { libc::syscall(libc::SYS_tgkill, pid, *tid, libc::SIGURG) };
                    }
                    thread::sleep(Duration::from_micros(50));
                }
            }
        });
        let outcome = finish_within(child, LIMIT);
        done.store(true, Ordering::Relaxed);
        outcome.unwrap_or_else(|outcome| panic!("{command:?} hangs: {outcome:?}"))
    })
}

fn survives(name: &str) {
    let _one = one_at_a_time();
    for profile in PROFILES {
        for threads in THREADS {
            let outcome = bombarded(with_threads(profile, name, threads));
            outcome.exited(0).printed(&format!("ok {name}\n"), "");
        }
    }
}

macro_rules! survive {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            survives(stringify!($name));
        }
    )*};
}

survive! {
    registers_live_across_preemptions
    a_carry_chain_across_preemptions
    the_red_zone_across_preemptions
    modes_stay_with_their_task
    near_the_end_of_the_stack
    the_runtime_under_preemptions
}

#[test]
fn lines_are_whole_under_preemptions() {
    let _one = one_at_a_time();
    const LINES: usize = 500;
    for threads in THREADS {
        let mut command = crate::scenario(crate::Profile::Release, "lines_under_preemptions");
        command.arg(LINES.to_string()).env("NETPOLL_THREADS", threads);
        let outcome = bombarded(command);
        outcome.exited(0);
        let mut next = [0; 4];
        for line in outcome.stdout.lines().filter(|line| !line.starts_with("ok ")) {
            let (task, rest) = line.split_once(' ').unwrap();
            let (i, text) = rest.split_once(' ').unwrap();
            let (task, i): (usize, usize) = (task.parse().unwrap(), i.parse().unwrap());
            assert_eq!((i, text.len()), (next[task], 600 * (i % 2)), "{line:?}");
            next[task] += 1;
        }
        assert_eq!(next, [LINES; 4]);
    }
}

#[test]
fn a_panic_is_told_under_preemptions() {
    let _one = one_at_a_time();
    for threads in THREADS {
        let outcome = bombarded(with_threads(crate::Profile::Release, "panic_under_preemptions", threads));
        outcome.exited(101);
        assert!(outcome.stderr.contains("panicked at tests/programs/src/preempted.rs:"), "{outcome:?}");
        assert!(outcome.stderr.contains("on purpose\n"), "{outcome:?}");
    }
}

/// Whoever is interrupted within the allocator would keep all others from it.
#[test]
fn the_heap_under_preemption() {
    let _one = one_at_a_time();
    for (profile, rounds) in [(Profile::Release, "1000"), (Profile::Debug, "100")] {
        for threads in THREADS {
            let mut command = program(profile, "heap_user");
            command.args(["6", rounds]).env("NETPOLL_THREADS", threads);
            bombarded(command).exited(0).printed("true\n", "");
        }
    }
}
