//! A TCP proxy: `proxy [--idle SECONDS] LISTEN TARGET`.
//!
//! Connects each client to the target, and copies in both directions inside the kernel. The end of one
//! direction is passed on while the other goes on. What ends in another way, by an error or by `SECONDS`
//! (300) without a byte in either direction, is passed on as a reset: half an answer must not look like a
//! whole one.
#![no_std]
#![no_main]

use core::net::SocketAddr;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use core::time::Duration;
use netpoll::io::{CopyError, copy_counted};
use netpoll::net::{Error, Shutdown, TcpListener, TcpStream, ToSocketAddrs};
use netpoll::rt::Env;
use netpoll::sys::process::{Resource, Rlimit, prlimit64};
use netpoll::time::sleep;
use netpoll::{eprintln, println, scope, spawn};

netpoll::entry!(main);

/// How long the target may take to answer.
const CONNECT: Duration = Duration::from_secs(10);
/// Counts are printed no more often than this, and only if they have changed.
const REPORT: Duration = Duration::from_secs(1);

static OPEN: AtomicU64 = AtomicU64::new(0);
static SERVED: AtomicU64 = AtomicU64::new(0);
static TO_TARGET: AtomicU64 = AtomicU64::new(0);
static TO_CLIENTS: AtomicU64 = AtomicU64::new(0);

struct Options {
    listen: SocketAddr,
    target: SocketAddr,
    idle: Duration,
}

fn parse(env: Env) -> Option<Options> {
    let mut args = env.args().skip(1).peekable();
    let mut idle = 300;
    if args.next_if_eq(&c"--idle").is_some() {
        idle = args.next()?.to_str().ok()?.parse().ok().filter(|&seconds: &u32| seconds > 0)?;
    }
    let mut addr = || args.next()?.to_socket_addrs().ok()?.next();
    let options = Options { listen: addr()?, target: addr()?, idle: Duration::from_secs(idle.into()) };
    args.next().is_none().then_some(options)
}

fn main(env: Env) -> i32 {
    let Some(options) = parse(env) else {
        eprintln!("usage: proxy [--idle SECONDS] LISTEN TARGET");
        return 2;
    };
    raise_descriptor_limit();
    match serve(&options) {
        Ok(()) => 0,
        Err(e) => {
            eprintln!("proxy: {}: {e}", options.listen);
            1
        }
    }
}

/// A connection takes six: two sockets, and a pipe each way.
fn raise_descriptor_limit() {
    if let Ok(old) = prlimit64(0, Resource::Nofile, None) {
        let _ = prlimit64(0, Resource::Nofile, Some(&Rlimit { cur: old.max, ..old }));
    }
}

fn serve(options: &Options) -> Result<(), Error> {
    let &Options { target, idle, .. } = options;
    let listener = TcpListener::bind(options.listen)?;
    println!("proxy: {} to {target}", listener.local_addr()?);
    drop(spawn(report));
    loop {
        let (client, _) = listener.accept()?;
        drop(spawn(move || {
            OPEN.fetch_add(1, Relaxed);
            // A client that is gone already, or a target that is not there, ends its task and nothing else.
            if connect(&client, target, idle).is_err() {
                cut(&client);
            }
            OPEN.fetch_sub(1, Relaxed);
            SERVED.fetch_add(1, Relaxed);
        }));
    }
}

/// Prints the counts while they change.
fn report() {
    let mut told = (0, 0);
    loop {
        sleep(REPORT);
        let (open, served) = (OPEN.load(Relaxed), SERVED.load(Relaxed));
        let (to, back) = (TO_TARGET.load(Relaxed), TO_CLIENTS.load(Relaxed));
        if told != (open + served, served + to + back) {
            println!("proxy: {open} open, {served} served, {to} bytes to the target, {back} back");
            told = (open + served, served + to + back);
        }
    }
}

fn connect(client: &TcpStream, target: SocketAddr, idle: Duration) -> Result<(), Error> {
    let server = TcpStream::connect_timeout(&target, CONNECT)?;
    for stream in [client, &server] {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(idle))?;
        stream.set_write_timeout(Some(idle))?;
    }
    let moved = AtomicU64::new(0);
    scope(|s| {
        let back = s.spawn(|| pump(&server, client, &moved, &TO_CLIENTS));
        pump(client, &server, &moved, &TO_TARGET);
        back.join();
    });
    Ok(())
}

/// Copies one direction to its end. `moved`: the bytes of both.
fn pump(from: &TcpStream, to: &TcpStream, moved: &AtomicU64, total: &AtomicU64) {
    loop {
        let before = moved.load(Relaxed);
        let copied = copy_counted(from, to, |n| {
            moved.fetch_add(n as u64, Relaxed);
            total.fetch_add(n as u64, Relaxed);
        });
        match copied {
            Ok(()) => {
                let _ = to.shutdown(Shutdown::Write); // or it is gone, as the other direction will tell
                return;
            }
            // This direction has nothing to say while the other one talks.
            Err(CopyError::Read(Error::TimedOut)) if moved.load(Relaxed) != before => {}
            Err(_) => {
                cut(to);
                return cut(from);
            }
        }
    }
}

/// Closes with a reset, unless the other direction has done so.
fn cut(stream: &TcpStream) {
    let _ = stream.set_linger(Some(Duration::ZERO));
    let _ = stream.close();
}
