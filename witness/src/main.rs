//! `witness [--quiet] [--seccomp FILE] [--list FILE] PROGRAM [ARG..]`: prints the calls that a program makes, as
//! strace(1) does, and at its end a table of them. SIGINT from the terminal reaches the program, too, and
//! the table comes all the same.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use std::{env, fs, io};

use witness::{End, Outcome, Witness};

const USAGE: &str = "usage: witness [--quiet] [--seccomp FILE] [--list FILE] PROGRAM [ARG..]

  --quiet         no line for each call
  --seccomp FILE  writes a filter that allows the calls made (struct sock_filter, as bwrap --seccomp reads)
  --list FILE     writes their numbers as a Rust array, for netpoll::rt::seccomp";

/// Longer than anybody looks on.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

#[derive(Default)]
struct Options {
    quiet: bool,
    seccomp: Option<PathBuf>,
    list: Option<PathBuf>,
    program: Vec<OsString>,
}

fn parse(mut args: impl Iterator<Item = OsString>) -> Option<Options> {
    let mut options = Options::default();
    while let Some(arg) = args.next() {
        match arg.to_str() {
            Some("--quiet") => options.quiet = true,
            Some("--seccomp") => options.seccomp = Some(args.next()?.into()),
            Some("--list") => options.list = Some(args.next()?.into()),
            Some(option) if option.starts_with('-') => return None,
            _ => {
                options.program.push(arg);
                options.program.extend(args);
                break;
            }
        }
    }
    (!options.program.is_empty()).then_some(options)
}

fn main() -> ExitCode {
    let Some(options) = parse(env::args_os().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(&options) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("witness: {}: {error}", options.program[0].display());
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> io::Result<ExitCode> {
    extern "C" fn ignore(_: i32) {}
    // SAFETY: the handler does nothing. Not `SIG_IGN`, which the program would inherit.
    unsafe { libc::signal(libc::SIGINT, ignore as *const () as libc::sighandler_t) };

    let (program, args) = options.program.split_first().expect("it has been parsed");
    let mut witness = Witness::new(program).args(args).limit(FOR_EVER);
    if !options.quiet {
        witness =
            witness.observe(|call| eprintln!("{} {call} <{:.6}>", call.thread, call.took.as_secs_f64()));
    }
    let trace = witness.run()?;
    if !options.quiet {
        for call in trace.calls.iter().filter(|call| call.outcome == Outcome::Pending) {
            eprintln!("{} {call}", call.thread);
        }
    }
    eprint!("{}", trace.table());
    if let Some(file) = &options.seccomp {
        fs::write(file, trace.filter().bytes())?;
    }
    if let Some(file) = &options.list {
        fs::write(file, trace.filter().source())?;
    }
    Ok(match trace.end {
        End::Exited(status) => {
            eprintln!("exited with {status}");
            ExitCode::from(status as u8)
        }
        End::Killed(signal) => {
            eprintln!("killed by signal {signal}");
            ExitCode::from(128 + signal as u8)
        }
    })
}
