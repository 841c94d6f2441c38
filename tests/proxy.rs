//! The TCP proxy from outside: its clients and its target are threads here.

#[path = "support/again.rs"]
mod again;

use again::again;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// No step takes as long.
const LONG: Duration = Duration::from_secs(60);

struct Proxy {
    child: Child,
    addr: SocketAddr,
    lines: Receiver<String>,
}

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_proxy"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Proxy {
    fn to(target: SocketAddr, options: &[&str]) -> Proxy {
        let mut child = command().args(options).args(["127.0.0.1:0", &target.to_string()]).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (tell, lines) = channel();
        thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        let line = lines.recv_timeout(LONG).unwrap();
        let addr = line.strip_prefix("proxy: ").and_then(|line| line.split(' ').next()).unwrap();
        Proxy { addr: addr.parse().unwrap(), child, lines }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream
    }

    /// Waits until it tells these counts.
    fn tells(&self, counts: &str) {
        let start = Instant::now();
        let mut last = String::new();
        while start.elapsed() < LONG {
            last = self.lines.recv_timeout(LONG).unwrap_or_else(|_| panic!("{counts}, but: {last}"));
            if last == format!("proxy: {counts}") {
                return;
            }
        }
        panic!("{counts}, but: {last}");
    }

    /// The descriptors it has.
    fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

const BLOCK: usize = 1 << 16;

/// Block number `n` of a stream that can be checked.
fn block(n: u64, bytes: &mut [u8]) {
    for (i, word) in bytes.chunks_exact_mut(8).enumerate() {
        word.copy_from_slice(&(n << 16 | i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_ne_bytes());
    }
}

fn send(mut stream: &TcpStream, blocks: u64) {
    let mut bytes = vec![0; BLOCK];
    for n in 0..blocks {
        block(n, &mut bytes);
        stream.write_all(&bytes).unwrap();
    }
    stream.shutdown(Shutdown::Write).unwrap();
}

fn receive(mut stream: &TcpStream, blocks: u64) {
    let (mut bytes, mut expected) = (vec![0; BLOCK], vec![0; BLOCK]);
    for n in 0..blocks {
        stream.read_exact(&mut bytes).unwrap();
        block(n, &mut expected);
        assert!(bytes == expected, "block {n} of {blocks}");
    }
    assert_eq!(again(|| stream.read(&mut bytes)).unwrap(), 0, "more than was sent");
}

/// `there` bytes to the target, and a sixteenth as many back at the same time.
fn transfer(there: usize) {
    let (there, back) = ((there / BLOCK) as u64, (there / BLOCK / 16) as u64);
    let (listener, target) = listener();
    let proxy = Proxy::to(target, &[]);
    let client = proxy.connect();
    let (server, _) = listener.accept().unwrap();
    thread::scope(|s| {
        s.spawn(|| send(&client, there));
        s.spawn(|| receive(&client, back));
        s.spawn(|| send(&server, back));
        s.spawn(|| receive(&server, there));
    });
    let (there, back) = (there as usize * BLOCK, back as usize * BLOCK);
    proxy.tells(&format!("0 open, 1 served, {there} bytes to the target, {back} back"));
}

#[test]
fn a_quarter_of_a_gibibyte() {
    transfer(256 << 20);
}

#[test]
#[ignore = "a gibibyte takes its time"]
fn a_gibibyte() {
    transfer(1 << 30);
}

/// Fewer where there are not enough descriptors for each.
#[test]
fn a_thousand_clients_at_once() {
    // SAFETY: one system call on a structure of ours each.
    let descriptors = unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        limit.rlim_cur as usize
    };
    // Of the proxy's, two sockets and two pipes.
    let count = ((descriptors - 100) / 6).min(1000);
    let (listener, target) = listener();
    let proxy = Proxy::to(target, &[]);
    let before = proxy.descriptors();
    let mut clients = Vec::new();
    let mut servers = Vec::new();
    // One by one, so that client and server with the same number are the ends of one connection; all stay.
    for _ in 0..count {
        clients.push(proxy.connect());
        servers.push(listener.accept().unwrap().0);
    }
    for round in 0..3u32 {
        for (from, to) in [(&clients, &servers), (&servers, &clients)] {
            for (i, mut stream) in from.iter().enumerate() {
                stream.write_all(&(i as u32 * 3 + round).to_ne_bytes()).unwrap();
            }
            for (i, mut stream) in to.iter().enumerate() {
                let mut bytes = [0; 4];
                stream.read_exact(&mut bytes).unwrap();
                assert_eq!(u32::from_ne_bytes(bytes), i as u32 * 3 + round, "somebody else's");
            }
        }
    }
    proxy.tells(&format!("{count} open, 0 served, {} bytes to the target, {} back", count * 12, count * 12));
    drop((clients, servers));
    proxy.tells(&format!("0 open, {count} served, {} bytes to the target, {} back", count * 12, count * 12));
    assert_eq!(proxy.descriptors(), before);
}

#[test]
fn the_end_of_one_direction_leaves_the_other_open() {
    let (listener, target) = listener();
    let proxy = Proxy::to(target, &[]);
    let mut client = proxy.connect();
    let (mut server, _) = listener.accept().unwrap();
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut question = String::new();
    server.read_to_string(&mut question).unwrap();
    assert_eq!(question, "question");
    thread::sleep(Duration::from_millis(50));
    server.write_all(b"answer").unwrap();
    drop(server);
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "answer");
}

/// Ends `stream` with a reset.
fn reset(stream: TcpStream) {
    use std::os::fd::AsRawFd;
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let (value, len) = ((&raw const linger).cast(), size_of_val(&linger) as u32);
    // SAFETY: the kernel reads the structure.
    let r = unsafe { libc::setsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, value, len) };
    assert_eq!(r, 0);
}

#[test]
fn resets_are_passed_on() {
    let (listener, target) = listener();
    let proxy = Proxy::to(target, &[]);
    for by_client in [true, false] {
        let client = proxy.connect();
        let (server, _) = listener.accept().unwrap();
        let (gone, mut left) = if by_client { (client, server) } else { (server, client) };
        left.set_read_timeout(Some(LONG)).unwrap();
        reset(gone);
        let end = again(|| left.read(&mut [0; 8])).unwrap_err();
        assert_eq!(end.kind(), ErrorKind::ConnectionReset, "an end that was none");
    }
    proxy.tells("0 open, 2 served, 0 bytes to the target, 0 back");
}

#[test]
fn without_a_target_clients_are_sent_away() {
    let (gone, target) = listener();
    drop(gone);
    let proxy = Proxy::to(target, &[]);
    for _ in 0..3 {
        let mut client = proxy.connect();
        let end = again(|| client.read(&mut [0; 8]));
        assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
    proxy.tells("0 open, 3 served, 0 bytes to the target, 0 back");
    // Once it is there they are served.
    let listener = TcpListener::bind(target).unwrap();
    let mut client = proxy.connect();
    let (mut server, _) = listener.accept().unwrap();
    client.write_all(b"x").unwrap();
    server.read_exact(&mut [0]).unwrap();
}

#[test]
fn idle_connections_are_cut_and_half_idle_ones_are_not() {
    let (listener, target) = listener();
    let proxy = Proxy::to(target, &["--idle", "2"]);
    let mut idle = proxy.connect();
    let _target = listener.accept().unwrap();
    let mut busy = proxy.connect();
    let (mut server, _) = listener.accept().unwrap();
    let idle = thread::spawn(move || again(|| idle.read(&mut [0; 8])).unwrap_err().kind());
    let start = Instant::now();
    // The client of this one never says a word.
    while !idle.is_finished() || start.elapsed() < Duration::from_millis(2500) {
        server.write_all(b".").unwrap();
        busy.read_exact(&mut [0]).unwrap();
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(idle.join().unwrap(), ErrorKind::ConnectionReset);
    busy.write_all(b"still here").unwrap();
    server.read_exact(&mut [0; 10]).unwrap();
    // Nor does one that does not read hold anything for ever.
    let deaf = proxy.connect();
    let (mut server, _) = listener.accept().unwrap();
    let start = Instant::now();
    let end = loop {
        if let Err(e) = server.write_all(&[0; 1 << 16]) {
            break e;
        }
    };
    assert!([ErrorKind::ConnectionReset, ErrorKind::BrokenPipe].contains(&end.kind()), "{end}");
    assert!(start.elapsed() < LONG);
    drop(deaf);
}

#[test]
fn what_it_cannot_do_it_says() {
    for args in [&[][..], &["127.0.0.1:0"], &["--idle", "0", "127.0.0.1:0", "127.0.0.1:1"], &["a", "b"]] {
        let output = command().args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert_eq!(output.stderr, b"usage: proxy [--idle SECONDS] LISTEN TARGET\n");
    }
    let (_listener, addr) = listener();
    let output = command().args([&addr.to_string(), "127.0.0.1:1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), format!("proxy: {addr}: bind: EADDRINUSE\n"));
}
