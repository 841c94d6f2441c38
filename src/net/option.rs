//! Socket options that are more than one number in the kernel, or another one for each family.

use crate::sys::socket::Family;
use crate::sys::{Errno, RawFd, sockopt};
use core::time::Duration;

/// How an idle connection is probed. Whole seconds, rounded up; see tcp(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence before the first probe.
    pub idle: Duration,
    /// Time between probes.
    pub interval: Duration,
    /// Unanswered probes before the connection is given up.
    pub probes: u32,
}

/// Go's numbers.
impl Default for Keepalive {
    fn default() -> Keepalive {
        Keepalive { idle: Duration::from_secs(15), interval: Duration::from_secs(15), probes: 9 }
    }
}

/// Whole seconds, rounded up, as many as an `int` holds.
pub(super) fn seconds(time: Duration) -> u32 {
    let up = time.as_secs().saturating_add((time.subsec_nanos() != 0).into());
    up.min(i32::MAX as u64) as u32
}

pub(super) fn keepalive(fd: RawFd) -> Result<Option<Keepalive>, Errno> {
    if !sockopt::socket_keepalive(fd)? {
        return Ok(None);
    }
    let seconds = |n: u32| Duration::from_secs(n.into());
    Ok(Some(Keepalive {
        idle: seconds(sockopt::tcp_keepidle(fd)?),
        interval: seconds(sockopt::tcp_keepintvl(fd)?),
        probes: sockopt::tcp_keepcnt(fd)?,
    }))
}

pub(super) fn set_keepalive(fd: RawFd, keepalive: Option<Keepalive>) -> Result<(), Errno> {
    if let Some(keepalive) = keepalive {
        sockopt::set_tcp_keepidle(fd, seconds(keepalive.idle))?;
        sockopt::set_tcp_keepintvl(fd, seconds(keepalive.interval))?;
        sockopt::set_tcp_keepcnt(fd, keepalive.probes)?;
    }
    sockopt::set_socket_keepalive(fd, keepalive.is_some())
}

pub(super) fn linger(fd: RawFd) -> Result<Option<Duration>, Errno> {
    Ok(sockopt::socket_linger(fd)?.map(|seconds| Duration::from_secs(seconds.into())))
}

pub(super) fn set_linger(fd: RawFd, linger: Option<Duration>) -> Result<(), Errno> {
    sockopt::set_socket_linger(fd, linger.map(seconds))
}

fn is_ipv6(fd: RawFd) -> Result<bool, Errno> {
    Ok(sockopt::socket_domain(fd)? == Family::INET6)
}

pub(super) fn ttl(fd: RawFd) -> Result<u32, Errno> {
    if is_ipv6(fd)? { sockopt::ipv6_unicast_hops(fd) } else { sockopt::ip_ttl(fd) }
}

pub(super) fn set_ttl(fd: RawFd, ttl: u32) -> Result<(), Errno> {
    if is_ipv6(fd)? { sockopt::set_ipv6_unicast_hops(fd, ttl) } else { sockopt::set_ip_ttl(fd, ttl) }
}
