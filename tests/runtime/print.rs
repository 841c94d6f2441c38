//! What arrives at the other end of stdout and stderr.

use crate::harness::{PROFILES, finish, in_child, run, scenario};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::Duration;

const TASKS: usize = 100;
const LINES: usize = 20;

/// The lines of the scenario `whole_lines_from_many`: each whole, and each task's in order.
fn check_lines<'a>(lines: impl Iterator<Item = &'a str>, tasks: usize) {
    let mut next: HashMap<usize, usize> = HashMap::new();
    let mut long = 0;
    for text in lines {
        if text.starts_with("LL") {
            assert_eq!(text, "L".repeat(100_000));
            long += 1;
            continue;
        }
        if text == "ok whole_lines_from_many" {
            continue;
        }
        let mut fields = text.splitn(3, ':');
        let mut number = || fields.next().unwrap().parse::<usize>().unwrap_or_else(|_| panic!("{text}"));
        let (task, line) = (number(), number());
        let letter = ["a", "b", "c"][task % 3];
        assert_eq!(fields.next().unwrap(), letter.repeat(task * 17 + line * 5), "{task}:{line}");
        let expected = next.entry(task).or_default();
        assert_eq!(line, *expected, "task {task}");
        *expected += 1;
    }
    assert_eq!(next.len(), tasks);
    assert!(next.values().all(|&count| count == LINES));
    assert_eq!(long, 1);
}

#[test]
fn lines_of_many_tasks_are_whole() {
    for profile in PROFILES {
        let args = [TASKS.to_string(), LINES.to_string()];
        let outcome = run(scenario(profile, "whole_lines_from_many").args(args));
        outcome.exited(0);
        assert_eq!(outcome.stderr, "");
        check_lines(outcome.stdout.lines(), TASKS);
    }
}

/// The other end reads late, and somebody has made the pipe non-blocking.
#[test]
fn a_full_pipe_loses_nothing() {
    for profile in PROFILES {
        let (reader, writer) = std::io::pipe().unwrap();
        // SAFETY: a flag of a pipe of ours.
        let set = unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
        assert_eq!(set, 0);
        let args = ["30".to_owned(), LINES.to_string()];
        let mut command = scenario(profile, "whole_lines_from_many");
        let child = command.args(args).stdout(writer).spawn().unwrap();
        drop(command); // and its copy of the writer
        thread::sleep(Duration::from_millis(50)); // until the pipe is full
        let lines: Vec<String> = BufReader::with_capacity(777, reader).lines().map(Result::unwrap).collect();
        check_lines(lines.iter().map(String::as_str), 30);
        finish(child).unwrap().exited(0);
    }
}

#[test]
fn a_begun_line_is_kept_until_it_ends() {
    for profile in PROFILES {
        let outcome = run(&mut scenario(profile, "begun_line"));
        outcome.exited(0).printed("one two three four\nfive\nsix seven ", "meanwhile\n");
    }
}

#[test]
fn a_begun_line_longer_than_the_buffer() {
    let numbers: String = (0..300).map(|i| format!("{i},")).collect();
    let expected = format!("{numbers}\n{}y{}\nok begun_line_too_long\n", "x".repeat(600), "z".repeat(600));
    for profile in PROFILES {
        run(&mut scenario(profile, "begun_line_too_long")).exited(0).printed(&expected, "");
    }
}

/// Printing while something is printed: nothing is lost, and nobody waits for himself.
#[test]
fn printing_may_be_nested() {
    for profile in PROFILES {
        let outcome = run(&mut scenario(profile, "nested"));
        outcome.exited(0);
        for text in ["inner of short\n", "inner of long\n", "inner of innermost\n", "free\n", "ok nested\n"] {
            assert_eq!(outcome.stdout.matches(text).count(), 1, "{}", outcome.stdout);
        }
        assert_eq!(outcome.stdout.matches('-').count(), 10 + 3000 + 1000);
        assert_eq!(outcome.stdout.matches(['o', 'O']).count(), 2000 + outcome.stdout_words());
        assert_eq!(outcome.stderr, "also short\nalso long\nalso innermost\nalso none\n");
    }
}

impl crate::harness::Outcome {
    /// How many o's are in the words of the scenario `nested` itself.
    fn stdout_words(&self) -> usize {
        let words = ["short", "long", "twice", "outer", "inner of", "innermost", "none", "ok nested"];
        words.iter().map(|word| self.stdout.matches(word).count() * word.matches('o').count()).sum()
    }
}

#[test]
fn a_reader_that_is_gone_kills_nobody() {
    for profile in PROFILES {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        run(scenario(profile, "errors_are_nobodys").stdout(writer)).exited(0).printed("", "still here\n");
        // One that goes away in the middle.
        let mut child = scenario(profile, "errors_are_nobodys").spawn().unwrap();
        child.stdout.take().unwrap().read_exact(&mut [0; 3000]).unwrap();
        finish(child).unwrap().exited(0).printed("", "still here\n");
    }
}

#[test]
fn a_closed_stdout_is_nobodys_error() {
    for profile in PROFILES {
        let mut command = scenario(profile, "errors_are_nobodys");
        // SAFETY: one system call.
        unsafe { in_child(&mut command, || libc::close(1) == 0) };
        run(&mut command).exited(0).printed("", "still here\n");
    }
}
