//! Idle connections by the hundred thousand: what each takes of the server's memory, besides the kernel's, by
//! `net::serve` and with a task each. Some seconds, and 1 GiB of the kernel's memory:
//!
//! ```sh
//! cargo test --release --test idle -- --ignored --nocapture
//! ```
//!
//! All of it happens in a network namespace of its own, where every address 127.0.x.y is there and no port is
//! taken. Descriptors are limited for each table of them: so there are several servers, and each of the
//! clients' threads has a table of its own.

use std::fs;
use std::io::{Error, Read, Write};
use std::mem::{size_of, zeroed};
use std::net::TcpStream;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

/// Connections in all.
const MANY: usize = 100_000;

/// Descriptors of a server that are no connections, and some to spare.
const OTHERS: usize = 200;

/// The first server's port.
const PORT: u16 = 9000;

/// Set in the process that has the namespace.
const INSIDE: &str = "NETPOLL_TESTS_IN_NAMESPACE";

const NAME: &str = "idle_connections";

#[test]
#[ignore = "a GiB of the kernel's memory"]
fn idle_connections() {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([NAME, "--exact", "--ignored", "--nocapture", "--test-threads=1"]).env(INSIDE, "1");
    // SAFETY: system calls only.
    unsafe {
        command.pre_exec(|| {
            let alone = libc::unshare(libc::CLONE_NEWNET) == 0
                || libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNET) == 0;
            if alone { Ok(()) } else { Err(Error::last_os_error()) }
        });
    }
    match command.status() {
        Ok(status) => assert!(status.success()),
        Err(e) => println!("skipped: no network namespace for this user ({e})"),
    }
}

fn inside() {
    raise_loopback();
    let hard = raise_descriptors();
    let most = hard - OTHERS;
    for (mode, at_most) in [("rest", 256), ("idle", 8192)] {
        let one = measure(mode, most.min(MANY), 1);
        println!("{mode}: {} connections of one process, {one} bytes each", most.min(MANY));
        let servers = MANY.div_ceil(most);
        let all = measure(mode, MANY / servers, servers);
        println!("{mode}: {} connections of {servers} processes, {all} bytes each", MANY / servers * servers);
        assert!(one.max(all) <= at_most, "{mode}: {one} and {all} bytes a connection");
    }
}

/// Bytes by which a server grows for each of its `count` connections, while all `servers` have as many.
fn measure(mode: &str, count: usize, servers: usize) -> usize {
    let ports: Vec<u16> = (0..servers as u16).map(|i| PORT + i).collect();
    let mut processes: Vec<_> = ports.iter().map(|&port| Server::start(mode, port)).collect();
    // What a server takes once is not a connection's.
    ports.iter().for_each(|&port| (0..100).for_each(|_| works(&mut client(port))));
    thread::sleep(Duration::from_millis(200));
    let before: usize = processes.iter().map(Server::memory).sum();
    let (there, measured) = (Barrier::new(servers + 1), Barrier::new(servers + 1));
    let after = thread::scope(|s| {
        for &port in &ports {
            let (there, measured) = (&there, &measured);
            s.spawn(move || {
                // SAFETY: the call takes no pointer; this thread uses none of the others' descriptors.
                assert_eq!(unsafe { libc::unshare(libc::CLONE_FILES) }, 0, "{}", Error::last_os_error());
                let mut clients: Vec<_> = (0..count).map(|i| connect(port, i)).collect();
                // The last, and the first, are served.
                clients.iter_mut().rev().step_by(count / 100 + 1).for_each(works);
                there.wait();
                measured.wait();
                clients.iter_mut().step_by(count / 100 + 1).for_each(works);
            });
        }
        there.wait();
        let after = processes.iter().map(Server::memory).sum::<usize>();
        measured.wait();
        after
    });
    processes.iter_mut().for_each(Server::stop);
    (after - before) / (count * servers)
}

struct Server(Child);

impl Server {
    fn start(mode: &str, port: u16) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_srv"));
        command.args([mode, &port.to_string()]).stdin(Stdio::null());
        let server = Server(command.spawn().unwrap());
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(start.elapsed() < Duration::from_secs(60), "the server does not come");
            thread::sleep(Duration::from_millis(1));
        }
        server
    }

    /// Its own pages, in bytes.
    fn memory(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
    }

    fn stop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn client(port: u16) -> TcpStream {
    TcpStream::connect(("127.0.0.1", port)).unwrap()
}

fn works(stream: &mut TcpStream) {
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).unwrap();
}

/// A connection to 127.0.0.1 from the `i`-th address and port.
fn connect(port: u16, i: usize) -> TcpStream {
    /// From each address.
    const PORTS: usize = 8000;
    let address = |host: u32, port: u16| libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: (0x7f00_0000 | host).to_be() },
        sin_zero: [0; 8],
    };
    let from = address(0x100 * u32::from(port - PORT + 1) + (i / PORTS) as u32 + 1, 0);
    let to = address(1, port);
    let len = size_of::<libc::sockaddr_in>() as u32;
    // SAFETY: the addresses are there, with their lengths; the descriptor is new.
    unsafe {
        let fd = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
        assert!(fd >= 0, "socket: {}", Error::last_os_error());
        let fd = OwnedFd::from_raw_fd(fd as RawFd);
        let raw = std::os::fd::AsRawFd::as_raw_fd(&fd);
        // The port is chosen with the connection, so that it need not be free for all others.
        let on = 1i32;
        libc::setsockopt(raw, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, (&raw const on).cast(), 4);
        assert_eq!(libc::bind(raw, (&raw const from).cast(), len), 0, "bind: {}", Error::last_os_error());
        assert_eq!(libc::connect(raw, (&raw const to).cast(), len), 0, "connect: {}", Error::last_os_error());
        TcpStream::from(fd)
    }
}

fn raise_loopback() {
    // SAFETY: an `ifreq` of zeros is one, and the kernel reads and writes no more.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM, 0);
        let mut request: libc::ifreq = zeroed();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        request.ifr_ifru.ifru_flags = libc::IFF_UP as i16;
        let raised = libc::ioctl(socket, libc::SIOCSIFFLAGS, &raw const request);
        assert_eq!(raised, 0, "lo: {}", Error::last_os_error());
        libc::close(socket);
    }
}

/// The limit of descriptors, as high as it may be.
fn raise_descriptors() -> usize {
    // SAFETY: the kernel reads and writes the structure.
    unsafe {
        let mut limit: libc::rlimit = zeroed();
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        limit.rlim_cur = limit.rlim_max;
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &limit), 0);
        limit.rlim_max as usize
    }
}
