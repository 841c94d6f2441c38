//! The runtime as its users meet it: freestanding programs of a package of their own
//! (`tests/programs`), each run as a process, judged by exit status, output and what it did.

#[path = "../support/activation.rs"]
mod activation;
#[macro_use]
mod harness;
mod conn;
mod deaths;
mod descriptors;
mod env;
mod fallbacks;
mod inherited;
mod kinds;
mod names;
mod net;
mod print;
#[path = "../support/refuse.rs"]
mod refuse;
mod sandbox;
mod sched;
mod serve;
mod signals;
mod syscalls;
