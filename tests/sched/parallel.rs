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

/// Half of the answers come within this. (One slice of a task is 10 ms, and nobody polls for 1 ms.)
const MEDIAN: Duration = Duration::from_millis(20);

/// With more threads than CPUs it is the kernel that deals out the time, in slices of some milliseconds.
const MEDIAN_CROWDED: Duration = Duration::from_millis(100);

/// Measures how long an echo takes from a program whose every thread is busy.
fn echoes(name: &str, threads: &str, bound: Duration) {
    let _one = one_at_a_time();
    let mut child = with_threads(Profile::Release, name, threads).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut port = String::new();
    stdout.read_line(&mut port).unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", port.trim().parse().unwrap())).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let mut took: Vec<Duration> = (0..40u8)
        .map(|i| {
            // Not in step with the monitor, which looks every millisecond.
            thread::sleep(Duration::from_micros(2000 + 370 * u64::from(i % 7)));
            let start = Instant::now();
            stream.write_all(&[i; 8]).unwrap();
            let mut answer = [0; 8];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(answer, [i; 8]);
            start.elapsed()
        })
        .collect();
    drop(stream); // the program's main returns
    let outcome = finish_within(child, LIMIT).unwrap();
    outcome.exited(0);
    took.sort_unstable();
    assert!(took[20] < bound, "{name} with {threads} threads: {took:?}");
}

#[test]
fn endless_loops_on_all_threads_keep_no_connection_waiting() {
    for threads in ["1", "2"] {
        echoes("echo_beside_loops", threads, MEDIAN);
    }
    echoes("echo_beside_loops", "8", MEDIAN_CROWDED);
}

#[test]
fn long_turns_on_all_threads_keep_no_connection_waiting() {
    for threads in ["1", "2"] {
        echoes("echo_beside_long_turns", threads, MEDIAN);
    }
}
