//! The command line.

use core::ffi::CStr;
use core::time::Duration;

/// How the program is called.
pub const USAGE: &str = "usage: httpd [--root DIR] [--log] [--timeout SECONDS] [--sandbox] [ADDR]";

/// What a client is given to send a head, or to take a part of the answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The longest that `--timeout` takes: a day.
const LONGEST: u64 = 24 * 60 * 60;

/// What the command line asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    /// Serve files.
    Serve(Options),
    /// Explain, and end.
    Help,
}

/// How to serve.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// The directory to serve.
    pub root: &'static CStr,
    /// The address to listen on.
    pub addr: &'static CStr,
    /// Write a line for each request to stderr.
    pub log: bool,
    /// How long a client may take; an idle one twice as long.
    pub timeout: Duration,
    /// Give up all rights that serving does not need.
    pub sandbox: bool,
}

/// Why the command line cannot be understood.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Misuse {
    /// What is wrong.
    pub why: &'static str,
    /// With this argument.
    pub argument: &'static CStr,
}

/// Reads the arguments, the program's name not among them.
pub fn parse(mut args: impl Iterator<Item = &'static CStr>) -> Result<Command, Misuse> {
    let mut options =
        Options { root: c".", addr: c"127.0.0.1:8080", log: false, timeout: TIMEOUT, sandbox: false };
    let mut addr = None;
    let mut only_operands = false;
    while let Some(argument) = args.next() {
        let misuse = |why| Err(Misuse { why, argument });
        match argument.to_bytes() {
            option if option.starts_with(b"-") && !only_operands => match option {
                b"--" => only_operands = true,
                b"--help" | b"-h" => return Ok(Command::Help),
                b"--log" => options.log = true,
                b"--sandbox" => options.sandbox = true,
                b"--root" => match args.next() {
                    Some(dir) => options.root = dir,
                    None => return misuse("a directory must follow"),
                },
                b"--timeout" => match args.next().and_then(seconds) {
                    Some(timeout) => options.timeout = timeout,
                    None => return misuse("a number of seconds must follow, 1 to 86400"),
                },
                _ => return misuse("unknown option"),
            },
            _ if addr.is_some() => return misuse("one address is enough"),
            _ => addr = Some(argument),
        }
    }
    options.addr = addr.unwrap_or(options.addr);
    Ok(Command::Serve(options))
}

fn seconds(text: &CStr) -> Option<Duration> {
    let seconds = text.to_str().ok()?.parse().ok()?;
    (1..=LONGEST).contains(&seconds).then_some(Duration::from_secs(seconds))
}
