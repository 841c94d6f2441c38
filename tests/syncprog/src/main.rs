//! Scenarios of `netpoll::sync` and `netpoll::scope`: `syncprog NAME`. A scenario that returns has held; one
//! that does not panics, with status 101, or waits for ever.
#![no_std]
#![no_main]

mod bench;
mod chan;
mod locks;
mod readiness;
mod scope;
mod select;
mod streams;
mod turns;
mod wait;

use netpoll::println;
use netpoll::rt::Env;

netpoll::entry!(main);

/// Finds a scenario by name in the modules that list theirs.
fn main(env: Env) -> i32 {
    let mut args = env.args().skip(1).map(|arg| arg.to_str().unwrap_or_default());
    let name = args.next().unwrap_or_default();
    if name == "bench" {
        bench::run();
        return 0;
    }
    let lists = [chan::ALL, locks::ALL, readiness::ALL, scope::ALL, select::ALL, turns::ALL, wait::ALL];
    let mut all = lists.into_iter().flatten();
    if name == "list" {
        all.for_each(|scenario| println!("{}", scenario.0));
        return 0;
    }
    match all.find(|scenario| scenario.0 == name) {
        Some((_, run)) => {
            run();
            0
        }
        None => {
            println!("no scenario is called {name}");
            2
        }
    }
}

/// A list of scenarios with their names.
#[macro_export]
macro_rules! scenarios {
    ($($name:ident)*) => {
        pub const ALL: &[(&str, fn())] = &[$((stringify!($name), $name)),*];
    };
}

/// Numbers by chance (xorshift), for delays and orders.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// Counts itself when dropped.
pub struct Dropped<'a>(pub &'a core::sync::atomic::AtomicUsize);

impl Drop for Dropped<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, core::sync::atomic::Ordering::Relaxed);
    }
}
