//! Who runs at the same time, and who must not be kept waiting.

use crate::harness::{Profile, finish_within};
use crate::{LIMIT, THREADS, each, one_at_a_time, with_threads};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

each! { [Profile::Release], THREADS;
    all_threads_run_at_once
    all_threads_run_at_once_under_load
    all_threads_run_at_once_with_a_poller
    all_threads_run_at_once_with_both
    a_timer_beside_a_ping_pong
    a_timer_beside_a_ping_pong_with_calls
    no_false_deadlock
}

each! { [Profile::Release], ["1"];
    pairs_do_not_hog
}

/// Tasks that compute for each thread: `EACH` of the scenarios.
const EACH: usize = 64;

/// Has a program whose every thread is busy answer 40 times. In half of the waits for an answer no more than a quarter of
/// the tasks that compute, for each thread, have had a turn: what waits for I/O is not behind all of them.
///
/// How long a turn takes depends on the machine and its load, and so the bound is one of turns: each answer is a count of
/// them, and what passed between two answers is the wait and a pause, in proportion to their times.
fn echoes(name: &str, threads: &str) {
    let _one = one_at_a_time();
    let mut child = with_threads(Profile::Release, name, threads).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut port = String::new();
    stdout.read_line(&mut port).unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", port.trim().parse().unwrap())).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let mut ask = || {
        let start = Instant::now();
        stream.write_all(b"?").unwrap();
        let mut turns = [0; 8];
        stream.read_exact(&mut turns).unwrap();
        (start.elapsed(), u64::from_ne_bytes(turns))
    };
    let (_, mut before) = ask();
    let mut waited: Vec<f64> = (0..40)
        .map(|i| {
            let start = Instant::now();
            // Not in step with the monitor, which looks every millisecond.
            thread::sleep(Duration::from_micros(2000 + 370 * (i % 7)));
            let (took, turns) = ask();
            let passed = turns - std::mem::replace(&mut before, turns);
            passed as f64 * took.as_secs_f64() / start.elapsed().as_secs_f64()
        })
        .collect();
    drop(stream); // the program's main returns
    let outcome = finish_within(child, LIMIT).unwrap();
    outcome.exited(0);
    waited.sort_by(f64::total_cmp);
    let all = EACH * threads.parse::<usize>().unwrap();
    assert!(waited[20] < all as f64 / 4.0, "{name} with {threads} threads, of {all} turns: {waited:.1?}");
}

#[test]
fn endless_loops_on_all_threads_keep_no_connection_waiting() {
    THREADS.iter().for_each(|threads| echoes("echo_beside_loops", threads));
}

#[test]
fn long_turns_on_all_threads_keep_no_connection_waiting() {
    THREADS.iter().for_each(|threads| echoes("echo_beside_long_turns", threads));
}
