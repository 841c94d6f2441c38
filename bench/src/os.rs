//! The few system calls that std does not have.

use std::io;
use std::mem::zeroed;
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// The CPUs that servers and clients run on, if there are two.
pub const SERVER_CPU: usize = 0;
pub const CLIENT_CPU: usize = 1;

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Keeps the thread, and what it starts from now on, on one CPU. On a machine with one CPU: no change.
pub fn pin(cpu: usize) -> io::Result<()> {
    // SAFETY: a set of bits, for which zeros are a value.
    let mut set: libc::cpu_set_t = unsafe { zeroed() };
    // SAFETY: writes within the set.
    unsafe { libc::CPU_SET(cpu % cpus(), &mut set) };
    // SAFETY: the kernel reads the set.
    check(unsafe { libc::sched_setaffinity(0, size_of_val(&set), &set) }).map(drop)
}

fn cpus() -> usize {
    // SAFETY: takes a number.
    unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) }.clamp(1, 1024) as usize
}

fn clock(id: libc::clockid_t) -> io::Result<u64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes the structure.
    check(unsafe { libc::clock_gettime(id, &mut time) })?;
    Ok(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// Monotonic time in ns.
pub fn now() -> u64 {
    clock(libc::CLOCK_MONOTONIC).expect("the clock is always there")
}

/// CPU time of this process in ns.
pub fn own_cpu_time() -> u64 {
    clock(libc::CLOCK_PROCESS_CPUTIME_ID).expect("the clock is always there")
}

/// CPU time of all threads of a process, of ended ones too, in ns.
pub fn cpu_time(pid: u32) -> io::Result<u64> {
    let mut id = 0;
    // SAFETY: writes a number.
    match unsafe { libc::clock_getcpuclockid(pid as i32, &mut id) } {
        0 => clock(id),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Raises the limit of open descriptors, also for the servers, as far as is allowed; returns it.
pub fn raise_descriptor_limit() -> usize {
    const MANY: u64 = 250_000;
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: reads and writes the structure.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        let all = libc::rlimit { rlim_cur: MANY, rlim_max: limit.rlim_max.max(MANY) };
        if libc::setrlimit(libc::RLIMIT_NOFILE, &all) != 0 {
            limit.rlim_cur = limit.rlim_max; // only root gets more than that
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
    }
    limit.rlim_cur as usize
}

/// Connects to a port of 127.0.0.1, from the address 127.0.0.`host`, which has ports of its own.
///
/// A close resets the connection: otherwise it would keep a port for a minute.
pub fn connect(port: u16, host: u8) -> io::Result<TcpStream> {
    // SAFETY: takes numbers; the descriptor is new, and the stream's alone.
    let stream = unsafe {
        let fd = check(libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0))?;
        TcpStream::from_raw_fd(fd)
    };
    let fd = stream.as_raw_fd();
    let (linger, one) = (libc::linger { l_onoff: 1, l_linger: 0 }, 1i32);
    let size = size_of::<libc::sockaddr_in>() as u32;
    let (from, to) = (address(host, 0), address(1, port));
    // SAFETY: the kernel reads options and addresses of the sizes given.
    unsafe {
        let linger_size = size_of_val(&linger) as u32;
        check(libc::setsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            linger_size,
        ))?;
        // The port is chosen by `connect`, for the pair of addresses.
        check(libc::setsockopt(fd, libc::SOL_IP, libc::IP_BIND_ADDRESS_NO_PORT, (&raw const one).cast(), 4))?;
        check(libc::bind(fd, (&raw const from).cast(), size))?;
        check(libc::connect(fd, (&raw const to).cast(), size))?;
    }
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn address(host: u8, port: u16) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(Ipv4Addr::new(127, 0, 0, host)).to_be() },
        sin_zero: [0; 8],
    }
}

/// An edge-triggered epoll for input, that is only looked at and never waited for.
pub struct Epoll {
    fd: OwnedFd,
    events: Vec<libc::epoll_event>,
}

impl Epoll {
    pub fn new() -> io::Result<Epoll> {
        // SAFETY: takes flags; the descriptor is new, and owned here only.
        let fd = unsafe { OwnedFd::from_raw_fd(check(libc::epoll_create1(libc::EPOLL_CLOEXEC))?) };
        Ok(Epoll { fd, events: vec![libc::epoll_event { events: 0, u64: 0 }; 1024] })
    }

    pub fn add(&self, fd: &impl AsRawFd, index: usize) -> io::Result<()> {
        let events = (libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLET) as u32;
        let mut event = libc::epoll_event { events, u64: index as u64 };
        let (epoll, fd) = (self.fd.as_raw_fd(), fd.as_raw_fd());
        // SAFETY: the kernel reads one event.
        check(unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &mut event) }).map(drop)
    }

    /// The indices of what is ready now.
    pub fn ready(&mut self) -> io::Result<impl Iterator<Item = usize> + use<'_>> {
        let (room, events) = (self.events.len() as i32, self.events.as_mut_ptr());
        // SAFETY: the kernel writes at most as many events as there is room for.
        let n = check(unsafe { libc::epoll_wait(self.fd.as_raw_fd(), events, room, 0) })?;
        Ok(self.events[..n as usize].iter().map(|event| event.u64 as usize))
    }
}
