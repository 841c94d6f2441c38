//! `micro NAME N`: what one operation of the runtime costs. Prints `NAME N TOTAL_NS`, and for
//! `micro sleep US COUNT` percentiles.
//!
//! | name | what is done N times |
//! |---|---|
//! | `spawn` | a task is spawned and joined, in windows of 1,000 |
//! | `spawn1` | the same, one by one |
//! | `spawnall` | the same, all N alive before the first is waited for |
//! | `yield` | one of two tasks yields |
//! | `chan` | a value goes to another task and back, over two channels without a buffer |
//! | `mutex`, `mutexc` | one of four tasks locks and unlocks; `mutexc` yields while it has the lock |
//! | `timers`, `timersn` | a timer is set and called off; `timersn` beside 10,000 others |
//! | `pipe` | 64 bytes go to another task and back, over a pair of Unix sockets |
//! | `syscall`, `blocking` | a call that does nothing, within each of them |
//!
//! Threads: `NETPOLL_THREADS`, as for every program.
#![no_std]
#![no_main]

mod switching;
mod tasks;
mod timing;

use netpoll::rt::Env;
use netpoll::time::Instant;
use netpoll::{eprintln, println};

netpoll::entry!(main);

/// A name and its loop, given N.
type Micro = (&'static str, fn(usize));

const ALL: &[Micro] = &[
    ("spawn", tasks::windows),
    ("spawn1", tasks::one_by_one),
    ("spawnall", tasks::all),
    ("yield", switching::yields),
    ("chan", switching::channels),
    ("mutex", switching::mutex),
    ("mutexc", switching::contended_mutex),
    ("timers", timing::timers),
    ("pipe", switching::pipes),
    ("syscall", tasks::quick_calls),
    ("blocking", tasks::long_calls),
];

fn main(env: Env) -> i32 {
    let number = |n| env.args().nth(n).and_then(|word| word.to_str().ok()?.parse::<usize>().ok());
    let name = env.args().nth(1).and_then(|word| word.to_str().ok()).unwrap_or_default();
    let Some(n) = number(2) else {
        eprintln!("usage: micro NAME N | micro sleep MICROSECONDS COUNT");
        return 2;
    };
    if name == "sleep" {
        timing::sleep(n, number(3).unwrap_or(200));
        return 0;
    }
    let total = if name == "timersn" {
        Some(timing::timers_among_others(n)) // what comes before is not measured
    } else {
        ALL.iter().find(|micro| micro.0 == name).map(|micro| {
            let start = Instant::now();
            micro.1(n);
            start.elapsed()
        })
    };
    match total {
        Some(total) => println!("{name} {n} {}", total.as_nanos()),
        None => println!("{name} n/a"),
    }
    0
}
