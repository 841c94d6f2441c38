//! `scenario NAME [WORD..]`: one behaviour of the runtime, asserted from within. A scenario panics if
//! something is not as it should be; at its end `ok NAME` is printed. Those that are to die, or to print
//! something of their own, are judged by the test that runs them (`tests/runtime`).
#![no_std]
#![no_main]

extern crate alloc;

mod any;
mod asleep;
mod close;
mod conn;
mod connect;
mod copies;
mod crowds;
mod deadlines;
mod env;
mod faults;
mod heap;
mod inherited;
mod listener;
mod names;
mod options;
mod outside;
mod parallel;
mod preempted;
mod print;
mod rights;
mod safe;
mod sandbox;
mod sched;
mod serve;
mod signals;
mod spawn;
mod spins;
mod stacks;
mod stream;
mod support;
mod syscalls;
mod time;
mod timers;
mod udp;
mod unix;

use alloc::vec::Vec;
use netpoll::println;
use netpoll::rt::Env;

netpoll::entry!(main);

/// A name, and what is done with the words behind it.
type Scenario = (&'static str, fn(&[&str]));

const TOPICS: &[&[Scenario]] = &[
    spawn::SCENARIOS,
    sched::SCENARIOS,
    stacks::SCENARIOS,
    time::SCENARIOS,
    print::SCENARIOS,
    stream::SCENARIOS,
    spins::SCENARIOS,
    listener::SCENARIOS,
    connect::SCENARIOS,
    deadlines::SCENARIOS,
    close::SCENARIOS,
    conn::SCENARIOS,
    options::SCENARIOS,
    unix::SCENARIOS,
    rights::SCENARIOS,
    udp::SCENARIOS,
    names::SCENARIOS,
    any::SCENARIOS,
    copies::SCENARIOS,
    crowds::SCENARIOS,
    parallel::SCENARIOS,
    preempted::SCENARIOS,
    timers::SCENARIOS,
    asleep::SCENARIOS,
    outside::SCENARIOS,
    syscalls::SCENARIOS,
    signals::SCENARIOS,
    sandbox::SCENARIOS,
    safe::SCENARIOS,
    serve::SCENARIOS,
    faults::SCENARIOS,
];

fn main(env: Env) -> i32 {
    let words: Vec<&str> = env.args().skip(1).map(|word| word.to_str().unwrap()).collect();
    let (name, words) = match words.split_first() {
        None => return env::tell(env), // run without any argument: there may be no name to ask for
        Some((&"env", _)) => return env::tell(env),
        Some((&"list", _)) => return list(),
        Some((&"inherited", words)) => return inherited::tell(env, words),
        Some((&"main_returns", words)) => return sched::main_returns(words),
        Some((&name, words)) => (name, words),
    };
    let scenario = TOPICS.iter().copied().flatten().find(|scenario| scenario.0 == name);
    scenario.unwrap_or_else(|| panic!("no scenario {name}")).1(words);
    println!("ok {name}");
    0
}

fn list() -> i32 {
    TOPICS.iter().copied().flatten().for_each(|scenario| println!("{}", scenario.0));
    0
}
