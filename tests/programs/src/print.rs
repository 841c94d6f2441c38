//! Printing.

use crate::Scenario;
use crate::support::{LOOPBACK, SETTLE, join_all, pair_on};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use netpoll::net::TcpListener;
use netpoll::time::sleep;
use netpoll::{eprintln, print, println, spawn, yield_now};

pub const SCENARIOS: &[Scenario] = &[
    ("whole_lines_from_many", many),
    ("begun_line", begun),
    ("begun_line_too_long", begun_too_long),
    ("nested", nested),
    ("errors_are_nobodys", errors),
    ("descriptors_that_are_not_ours", not_ours),
];

/// Lines that the test knows: `TASK:LINE:` and as many letters as that says, in pieces.
fn many(words: &[&str]) {
    let [tasks, lines] = [0, 1].map(|i| words[i].parse::<usize>().unwrap());
    let printers: Vec<_> = (0..tasks)
        .map(|task| {
            spawn(move || {
                for line in 0..lines {
                    println!("{task}:{line}:{}", Letters(task, line));
                    if line % 3 == 0 {
                        yield_now();
                    }
                }
            })
        })
        .collect();
    join_all(printers);
    println!("{}", "L".repeat(100_000));
}

struct Letters(usize, usize);

impl fmt::Display for Letters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = ["a", "b", "c"][self.0 % 3];
        for i in 0..self.0 * 17 + self.1 * 5 {
            f.write_str(letter)?;
            if i == 700 {
                yield_now(); // in the middle of a line that is being written
            }
        }
        Ok(())
    }
}

fn begun(_: &[&str]) {
    print!("one ");
    print!("{} ", "two");
    sleep(SETTLE);
    eprintln!("meanwhile");
    spawn(|| print!("three")).join();
    println!(" four");
    print!("");
    print!("five\nsix ");
    netpoll::rt::flush_stdout();
    print!("seven ");
    netpoll::rt::exit(0);
}

fn begun_too_long(_: &[&str]) {
    for i in 0..300 {
        print!("{i},");
    }
    println!();
    print!("{}", "x".repeat(600));
    print!("y");
    println!("{}", "z".repeat(600));
}

/// Prints while it is printed, at the place that was asked for.
struct Prints(&'static str, usize);

impl fmt::Display for Prints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&"-".repeat(self.1))?;
        println!("inner of {}", self.0);
        eprintln!("also {}", self.0);
        f.write_str("=")
    }
}

fn nested(_: &[&str]) {
    println!("short {}", Prints("short", 10));
    println!("long {}", Prints("long", 3000));
    println!("twice {}", Outer(Prints("innermost", 1000)));
    let mut lines = String::new();
    fmt::write(&mut lines, format_args!("{}", Prints("none", 1))).unwrap();
    assert_eq!(lines, "-=");
    // The output is free again.
    spawn(|| println!("free")).join();
}

struct Outer(Prints);

impl fmt::Display for Outer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&"o".repeat(1000))?;
        println!("outer has {}", self.0);
        f.write_str(&"O".repeat(1000))
    }
}

/// With stdout closed, or broken: says so on stderr.
fn errors(_: &[&str]) {
    for i in 0..2000 {
        println!("{i} {}", "lost".repeat(20));
    }
    print!("lost");
    eprintln!("still here");
}

/// Started without stdout, the program must not print into what it opens.
fn not_ours(_: &[&str]) {
    let first = TcpListener::bind(LOOPBACK).unwrap();
    let second = TcpListener::bind(LOOPBACK).unwrap();
    drop(first); // the lowest number is free: for the connection
    let (near, far) = pair_on(&second);
    println!("this is for stdout");
    near.write_all(b"own").unwrap();
    let mut buf = [0; 64];
    let n = far.read(&mut buf).unwrap();
    assert_eq!(&buf[..n], b"own");
}
