//! A web server for a folder: `httpd [--root DIR] [--log] [--timeout SECONDS] [ADDR]`.
//!
//! HTTP/1.1 without libc, std or an allocator: a task for each connection, written as if it were alone.
//!
//! | file | what |
//! |---|---|
//! | `args.rs` | the command line |
//! | `connection.rs`, `wire.rs` | requests one after the other; the deadlines |
//! | `request.rs`, `range.rs`, `date.rs`, `text.rs` | reading heads |
//! | `answer.rs`, `files.rs`, `listing.rs`, `mime.rs` | what is answered with |
//! | `output.rs`, `status.rs`, `clock.rs` | writing answers |
#![no_std]
#![no_main]

mod answer;
mod args;
mod clock;
mod connection;
mod date;
mod files;
mod listing;
mod mime;
mod output;
mod range;
mod request;
mod status;
mod text;
mod wire;

use core::time::Duration;

use netpoll::net::{Error, TcpListener};
use netpoll::rt::Env;
use netpoll::sys::Errno;
use netpoll::time::sleep;
use netpoll::{Builder, eprintln, println};

use args::{Command, Options};
use clock::WallClock;
use connection::Site;
use files::Root;
use text::Shown;

netpoll::entry!(main);

/// Exit statuses.
const FAILED: i32 = 1;
const MISUSED: i32 = 2;

/// After an error of `accept` that may be there again at once. (It has pauses of its own when there are
/// no descriptors left.)
const PAUSE: Duration = Duration::from_millis(100);

fn main(env: Env) -> i32 {
    let options = match args::parse(env.args().skip(1)) {
        Ok(Command::Serve(options)) => options,
        Ok(Command::Help) => {
            println!("{}", args::USAGE);
            return 0;
        }
        Err(misuse) => {
            eprintln!("httpd: {}: {}", Shown(misuse.argument.to_bytes()), misuse.why);
            eprintln!("{}", args::USAGE);
            return MISUSED;
        }
    };
    match open(&options) {
        Some((listener, site)) => serve(&listener, site),
        None => FAILED,
    }
}

/// Opens what the program works on, or says why it cannot.
///
/// If some of the first three descriptors were closed, the directory, the listener and the poller get their
/// numbers. To none of them can be written: no connection ever gets what is meant for stderr.
fn open(options: &Options) -> Option<(TcpListener, Site)> {
    let shown_root = Shown(options.root.to_bytes());
    let root = match Root::open(options.root) {
        Ok(root) => root,
        Err(errno) => {
            let why = match errno {
                Errno::ENOENT => "there is no such directory",
                Errno::ENOTDIR => "not a directory",
                Errno::EACCES => "permission denied",
                _ => "cannot be opened",
            };
            eprintln!("httpd: {shown_root}: {why} ({errno})");
            return None;
        }
    };
    // What is not UTF-8 is no address, as is an empty string.
    let bound = TcpListener::bind(options.addr.to_str().unwrap_or_default());
    let listener = match bound.and_then(|listener| Ok((listener.local_addr()?, listener))) {
        Ok((addr, listener)) => {
            println!("httpd: serving {shown_root} on http://{addr}");
            listener
        }
        Err(error) => {
            let why = match error {
                Error::InvalidAddress => "not an address, such as 127.0.0.1:8080 or [::1]:8080",
                Error::Os(_, Errno::EADDRINUSE) => "the port is in use",
                Error::Os(_, Errno::EADDRNOTAVAIL) => "not an address of this machine",
                Error::Os(_, Errno::EACCES) => "permission denied",
                _ => "cannot be listened on",
            };
            eprintln!("httpd: {}: {why} ({error})", Shown(options.addr.to_bytes()));
            return None;
        }
    };
    let site = Site { root, clock: WallClock::start(), log: options.log, patience: options.timeout };
    Some((listener, site))
}

/// Serves for ever.
fn serve(listener: &TcpListener, site: Site) -> ! {
    loop {
        match listener.accept() {
            // Without memory for another stack the connection is closed: that much the client notices.
            Ok((stream, peer)) => {
                drop(Builder::new().spawn(move || connection::serve(site, stream, peer)));
            }
            Err(error) => {
                eprintln!("httpd: {error}");
                sleep(PAUSE);
            }
        }
    }
}
