//! A web server for a folder: `httpd [--root DIR] [--log] [--timeout SECONDS] [--sandbox] [ADDR]`.
//!
//! HTTP/1.1 without libc, std or an allocator: a task for each connection, written as if it were alone. Answers with
//! small files are kept for a second, so what changes is seen a second later at the latest.
//!
//! If a service manager has opened a socket for it (`LISTEN_FDS`) it serves that and not ADDR. SIGTERM and
//! SIGINT end it with status 0: it accepts nothing more and answers the requests that have begun, for which
//! they have the time of `--timeout`; a second signal ends it at once.
//!
//! | file | what |
//! |---|---|
//! | `args.rs` | the command line |
//! | `connection.rs`, `wire.rs` | requests one after the other; the deadlines |
//! | `request.rs`, `range.rs`, `date.rs`, `text.rs` | reading heads |
//! | `answer.rs`, `files.rs`, `listing.rs`, `mime.rs` | what is answered with |
//! | `cache.rs` | answers that are kept for a second |
//! | `output.rs`, `status.rs`, `clock.rs` | writing answers |
//! | `sandbox.rs` | the rights it gives up |
//! | `ending.rs` | which requests are still to be answered |
#![no_std]
#![no_main]

mod answer;
mod args;
mod cache;
mod clock;
mod connection;
mod date;
mod ending;
mod files;
mod listing;
mod mime;
mod output;
mod range;
mod request;
mod sandbox;
mod status;
mod text;
mod wire;

use core::time::Duration;

use netpoll::net::{Error, InheritedSocket, Socket, TcpListener, inherited};
use netpoll::rt::{Env, exit};
use netpoll::signal::{self, SIGINT, SIGTERM, Signals};
use netpoll::sys::Errno;
use netpoll::time::{Instant, sleep};
use netpoll::{Builder, eprintln, println, scope, spawn};

use args::{Command, Options};
use cache::Cache;
use clock::WallClock;
use connection::Site;
use files::Root;
use text::Shown;

netpoll::entry!(main);

/// Exit statuses.
const FAILED: i32 = 1;
const MISUSED: i32 = 2;

/// The answers of all connections.
static CACHE: Cache = Cache::new();

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
    // Before anybody can know that it runs.
    let signals = match signal::notify(&[SIGINT, SIGTERM]) {
        Ok(signals) => signals,
        Err(error) => {
            eprintln!("httpd: {error}");
            return FAILED;
        }
    };
    match open(&env, &options) {
        Some((listener, site)) => serve(&signals, listener, site),
        None => FAILED,
    }
}

/// Opens what the program works on, or says why it cannot.
///
/// If some of the first three descriptors were closed, the directory and the poller get their numbers. To none of them
/// can be written: no connection ever gets what is meant for stderr.
fn open(env: &Env, options: &Options) -> Option<(TcpListener, Site)> {
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
    let listener = match given(env) {
        Ok(Some(listener)) => listener,
        Ok(None) => bind(options)?,
        Err(error) => {
            eprintln!("httpd: LISTEN_FDS: no TCP sockets to listen on ({error})");
            return None;
        }
    };
    if options.sandbox
        && let Err(errno) = sandbox::enter(root.fd())
    {
        eprintln!("httpd: --sandbox: refused by the kernel ({errno})");
        return None;
    }
    match listener.local_addr() {
        Ok(addr) => println!("httpd: serving {shown_root} on http://{addr}"),
        Err(error) => eprintln!("httpd: {error}"),
    }
    let clock = WallClock::start();
    let site = Site { root, cache: &CACHE, clock, log: options.log, patience: options.timeout };
    Some((listener, site))
}

/// The first socket to listen on that the program was started with. One is enough; others are closed.
fn given(env: &Env) -> Result<Option<TcpListener>, Error> {
    let mut sockets = inherited(env)?;
    if sockets.len() == 0 {
        return Ok(None);
    }
    let listener = sockets.find_map(|socket| match socket {
        Ok(InheritedSocket { socket: Socket::TcpListener(listener), .. }) => Some(Ok(listener)),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    });
    sockets.for_each(drop);
    listener.unwrap_or(Err(Error::InvalidAddress)).map(Some)
}

/// Listens where the command line says, or tells why it cannot.
fn bind(options: &Options) -> Option<TcpListener> {
    // What is not UTF-8 is no address, as is an empty string.
    match TcpListener::bind(options.addr.to_str().unwrap_or_default()) {
        Ok(listener) => Some(listener),
        Err(error) => {
            let why = match error {
                Error::InvalidAddress => "not an address, such as 127.0.0.1:8080 or [::1]:8080",
                Error::Os(_, Errno::EADDRINUSE) => "the port is in use",
                Error::Os(_, Errno::EADDRNOTAVAIL) => "not an address of this machine",
                Error::Os(_, Errno::EACCES) => "permission denied",
                _ => "cannot be listened on",
            };
            eprintln!("httpd: {}: {why} ({error})", Shown(options.addr.to_bytes()));
            None
        }
    }
}

/// Serves until a signal says that it is enough, and what has begun by then. Returns the exit status.
fn serve(signals: &Signals, listener: TcpListener, site: Site) -> i32 {
    scope(|s| {
        let accepting = s.spawn(|| accept(&listener, site));
        let _ = signals.recv(); // an error would be as good a reason
        ending::begin();
        let _ = listener.close();
        accepting.join();
    });
    drop(spawn(|| {
        ending::wait();
        exit(0)
    }));
    let _ = signals.set_read_deadline(Some(Instant::now() + site.patience));
    let _ = signals.recv(); // until the second signal, or the time is up
    0
}

/// Accepts connections until the listener is closed.
fn accept(listener: &TcpListener, site: Site) {
    loop {
        match listener.accept() {
            Err(Error::Closed) => return,
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
