//! Sockets and their options.

use std::mem::size_of;
use std::net::SocketAddr;
use std::ptr::null_mut;

use netpoll::sys::fd::{IoSlice, IoSliceMut};
use netpoll::sys::socket::*;
use netpoll::sys::sockopt::*;
use netpoll::sys::{Errno, RawFd, sockopt};

use super::world::*;
use super::{Case, INVALID, NOT_OPEN, err, sys, table};

fn setsockopt(fd: RawFd, level: u32, name: u32, value: &[u8]) -> Result<(), Errno> {
    // SAFETY: the cases fail.
    unsafe { sockopt::setsockopt(fd, level, name, value) }
}

fn any_port() -> SockAddr {
    SocketAddr::from(([127, 0, 0, 1], 0)).into()
}

/// The same, as libc has it.
static C_ANY_PORT: libc::sockaddr_in = libc::sockaddr_in {
    sin_family: libc::AF_INET as u16,
    sin_port: 0,
    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes([127, 0, 0, 1]) },
    sin_zero: [0; 8],
};
const C_LEN: u32 = size_of::<libc::sockaddr_in>() as u32;

fn c_bind(fd: RawFd) -> Outcome {
    // SAFETY: the address is readable.
    c(unsafe { libc::bind(fd, (&raw const C_ANY_PORT).cast(), C_LEN) })
}

fn sc_bind(fd: RawFd) -> Outcome {
    // SAFETY: the address is readable.
    unsafe { sys!(BIND, fd, &raw const C_ANY_PORT, C_LEN) }
}

/// A device's name, padded.
fn device(name: &[u8]) -> [u8; IF_NAME] {
    std::array::from_fn(|i| name.get(i).copied().unwrap_or(0))
}

fn c_device(name: &[u8]) -> libc::ifreq {
    let ifr_name = device(name).map(|byte| byte as libc::c_char);
    libc::ifreq { ifr_name, ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_ifindex: 0 } }
}

/// An option that is one `int`, read through libc.
fn c_get(fd: RawFd, level: i32, name: i32) -> Outcome {
    let (mut value, mut len) = (0i32, 4);
    // SAFETY: the kernel writes 4 bytes and the length.
    match c(unsafe { libc::getsockopt(fd, level, name, (&raw mut value).cast(), &mut len) }) {
        0 => value.into(),
        error => error,
    }
}

/// An option that is one `int`, read through `sc`.
fn sc_get(fd: RawFd, level: i32, name: i32) -> Outcome {
    let (mut value, mut len) = (0i32, 4u32);
    // SAFETY: the kernel writes 4 bytes and the length.
    match unsafe { sys!(GETSOCKOPT, fd, level, name, &raw mut value, &raw mut len) } {
        0 => value.into(),
        error => error,
    }
}

fn c_set(fd: RawFd, level: i32, name: i32, value: i32) -> Outcome {
    // SAFETY: the value is readable.
    c(unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), 4) })
}

fn sc_set(fd: RawFd, level: i32, name: i32, value: i32) -> Outcome {
    // SAFETY: the value is readable.
    unsafe { sys!(SETSOCKOPT, fd, level, name, &raw const value, 4) }
}

/// The pid of `SO_PEERCRED`, through a call that fills in the three words.
fn peer_pid(get: impl FnOnce(*mut u32, *mut u32) -> Outcome) -> Outcome {
    let (mut cred, mut len) = ([0u32; 3], 12);
    assert_eq!(get(cred.as_mut_ptr(), &raw mut len), 0);
    cred[0].into()
}

/// Sets `SO_LINGER` to 9 seconds and reads it, through a call that does either.
fn linger(call: impl Fn(bool, *mut i32, *mut u32) -> Outcome) -> Outcome {
    let (mut value, mut len) = ([1, 9], 8);
    assert_eq!(call(true, value.as_mut_ptr(), &raw mut len), 0);
    value = [0; 2];
    assert_eq!(call(false, value.as_mut_ptr(), &raw mut len), 0);
    value[1].into()
}

/// Receives one message of many, and its length.
fn receive_many(fd: RawFd) -> Outcome {
    let (mut buf, mut from) = ([0; 9], Storage::new());
    let mut bufs = [IoSliceMut::new(&mut buf)];
    let mut messages = [Many::new(RecvHeader::new(Some(&mut from), &mut bufs, &mut []))];
    let counted = recvmmsg(fd, &mut messages, MsgFlags::empty(), None);
    first_len(&messages, counted)
}

/// Sends one message of many, and its length.
fn send_many(fd: RawFd) -> Outcome {
    let bufs = [IoSlice::new(b"abcd")];
    let mut messages = [Many::new(SendHeader::new(None, &bufs, &[]))];
    let counted = sendmmsg(fd, &mut messages, MsgFlags::NOSIGNAL);
    first_len(&messages, counted)
}

/// A message of two slices, through a call that takes the header.
fn c_message(bufs: &mut [libc::iovec], call: impl FnOnce(*mut libc::msghdr) -> Outcome) -> Outcome {
    // SAFETY: integers and pointers, for which zeros are a value.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = bufs.as_mut_ptr();
    message.msg_iovlen = bufs.len();
    call(&raw mut message)
}

/// One message of many, through a call that takes the array.
fn c_messages(buf: &mut [u8], call: impl FnOnce(*mut libc::mmsghdr) -> Outcome) -> Outcome {
    let mut buf = slice(buf);
    // SAFETY: integers and pointers, for which zeros are a value.
    let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
    message.msg_hdr.msg_iov = &raw mut buf;
    message.msg_hdr.msg_iovlen = 1;
    let count = call(&raw mut message);
    if count < 0 { count } else { message.msg_len.into() }
}

fn slice(buf: &mut [u8]) -> libc::iovec {
    libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() }
}

/// The length of the first of `messages`, if the call counted one.
fn first_len<H>(messages: &[Many<H>], counted: Result<usize, Errno>) -> Outcome {
    counted.map(|_| messages[0].len()).outcome()
}

const QUIET: i32 = libc::MSG_NOSIGNAL;
const NOT_SOCKET: Outcome = err(Errno::ENOTSOCK);

#[rustfmt::skip]
pub fn cases() -> Vec<Case> {
    const NONE: SocketFlags = SocketFlags::empty();
    table! {
        "socket of no family" => err(Errno::EAFNOSUPPORT); |_|
            socket(Family(200), SocketType::STREAM, NONE, 0).outcome();
            sys!(SOCKET, 200, 1, 0);
            c(libc::socket(200, 1, 0));
        "socket of no type" => INVALID; |_|
            socket(Family::INET, SocketType(15), NONE, 0).outcome();
            sys!(SOCKET, 2, 15, 0);
            c(libc::socket(2, 15, 0));
        "socket of another protocol" => err(Errno::EPROTONOSUPPORT); |_|
            socket(Family::INET, SocketType::STREAM, NONE, 17).outcome();
            sys!(SOCKET, 2, 1, 17);
            c(libc::socket(2, 1, 17));
        "socket" => 0; |w|
            w.new_fd(socket(Family::INET, SocketType::DGRAM, SocketFlags::all(), 0).outcome());
            w.new_fd(sys!(SOCKET, libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0));
            w.new_fd(c(libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0)));
        "socketpair of IPv4" => err(Errno::EOPNOTSUPP); |_|
            socketpair(Family::INET, SocketType::STREAM, NONE, 0).map(drop).outcome();
            sys!(SOCKETPAIR, 2, 1, 0, [-1i32; 2].as_mut_ptr());
            c(libc::socketpair(2, 1, 0, [-1; 2].as_mut_ptr()));
        "socketpair" => 0; |w|
            socketpair(Family::UNIX, SocketType::SEQPACKET, NONE, 0).map(|p| w.new_fds(p)).outcome();
            { let mut p = [-1; 2]; let r = sys!(SOCKETPAIR, 1, 5, 0, p.as_mut_ptr()); w.new_fds(p); r };
            { let mut p = [-1; 2]; let r = c(libc::socketpair(1, 5, 0, p.as_mut_ptr())); w.new_fds(p); r };
        "bind -1" => NOT_OPEN; |_|
            bind(-1, &any_port()).outcome();
            sc_bind(-1);
            c_bind(-1);
        "bind a file" => NOT_SOCKET; |w|
            bind(w.file, &any_port()).outcome();
            sc_bind(w.file);
            c_bind(w.file);
        "accept4 before listen" => INVALID; |w|
            accept4(w.socket, None, NONE).outcome();
            sys!(ACCEPT4, w.socket, 0usize, 0usize, 0);
            c(libc::accept4(w.socket, null_mut(), null_mut(), 0));
        "shutdown without a peer" => err(Errno::ENOTCONN); |w|
            shutdown(w.socket, Shutdown::Both).outcome();
            sys!(SHUTDOWN, w.socket, libc::SHUT_RDWR);
            c(libc::shutdown(w.socket, libc::SHUT_RDWR));
        "sendto without a peer" => err(Errno::EPIPE); |w|
            sendto(w.socket, b"x", MsgFlags::NOSIGNAL, None).outcome();
            sys!(SENDTO, w.socket, b"x".as_ptr(), 1, QUIET, 0usize, 0);
            c_size(libc::sendto(w.socket, b"x".as_ptr().cast(), 1, QUIET, null_mut(), 0));
        "getpeername without a peer" => err(Errno::ENOTCONN); |w|
            getpeername(w.socket).map(drop).outcome();
            sys!(GETPEERNAME, w.socket, [0u8; 128].as_mut_ptr(), [128u32].as_mut_ptr());
            c(libc::getpeername(w.socket, [0u8; 128].as_mut_ptr().cast(), [128].as_mut_ptr()));
        "TCP_FASTOPEN_CONNECT, set and read" => 1; |w|
            { set_tcp_fastopen_connect(w.socket, true).unwrap(); tcp_fastopen_connect(w.socket).outcome() };
            sc_set(w.socket, libc::SOL_TCP, libc::TCP_FASTOPEN_CONNECT, 1) + sc_get(w.socket, libc::SOL_TCP, libc::TCP_FASTOPEN_CONNECT);
            c_set(w.socket, libc::SOL_TCP, libc::TCP_FASTOPEN_CONNECT, 1) + c_get(w.socket, libc::SOL_TCP, libc::TCP_FASTOPEN_CONNECT);
        "bind" => 0; |w|
            bind(w.socket, &any_port()).outcome();
            sc_bind(w.socket);
            c_bind(w.socket);
        "bind twice" => INVALID; |w|
            bind(w.socket, &any_port()).outcome();
            sc_bind(w.socket);
            c_bind(w.socket);
        "getsockname, length" => 16; |w|
            getsockname(w.socket).map(|a| a.as_bytes().len()).outcome();
            { let mut l = 128u32; sys!(GETSOCKNAME, w.socket, [0u8; 128].as_mut_ptr(), &raw mut l) + Outcome::from(l) };
            { let mut l = 128; c(libc::getsockname(w.socket, [0u8; 128].as_mut_ptr().cast(), &mut l)) + Outcome::from(l) };
        "getsockname of a nameless Unix socket, length" => 2; |w|
            getsockname(w.pair[0]).map(|a| a.as_bytes().len()).outcome();
            { let mut l = 128u32; sys!(GETSOCKNAME, w.pair[0], [0u8; 128].as_mut_ptr(), &raw mut l) + Outcome::from(l) };
            { let mut l = 128; c(libc::getsockname(w.pair[0], [0u8; 128].as_mut_ptr().cast(), &mut l)) + Outcome::from(l) };
        "getsockname of a file" => NOT_SOCKET; |w|
            getsockname(w.file).map(drop).outcome();
            sys!(GETSOCKNAME, w.file, [0u8; 128].as_mut_ptr(), [128u32].as_mut_ptr());
            c(libc::getsockname(w.file, [0u8; 128].as_mut_ptr().cast(), [128].as_mut_ptr()));
        "SO_ACCEPTCONN before listen" => 0; |w|
            socket_acceptconn(w.socket).outcome();
            sc_get(w.socket, libc::SOL_SOCKET, libc::SO_ACCEPTCONN);
            c_get(w.socket, libc::SOL_SOCKET, libc::SO_ACCEPTCONN);
        "listen" => 0; |w|
            listen(w.socket, 5).outcome();
            sys!(LISTEN, w.socket, 5);
            c(libc::listen(w.socket, 5));
        "listen on a pair" => INVALID; |w|
            listen(w.pair[0], 5).outcome();
            sys!(LISTEN, w.pair[0], 5);
            c(libc::listen(w.pair[0], 5));
        "SO_ACCEPTCONN after listen" => 1; |w|
            socket_acceptconn(w.socket).outcome();
            sc_get(w.socket, libc::SOL_SOCKET, libc::SO_ACCEPTCONN);
            c_get(w.socket, libc::SOL_SOCKET, libc::SO_ACCEPTCONN);
        "accept4, nobody there" => err(Errno::EAGAIN); |w|
            accept4(w.socket, Some(&mut SockAddr::empty()), NONE).outcome();
            sys!(ACCEPT4, w.socket, 0usize, 0usize, 0);
            c(libc::accept4(w.socket, null_mut(), null_mut(), 0));
        "accept4, all flags" => INVALID; |w|
            accept4(w.socket, None, SocketFlags::from_bits_retain(!0)).outcome();
            sys!(ACCEPT4, w.socket, 0usize, 0usize, -1isize);
            c(libc::accept4(w.socket, null_mut(), null_mut(), -1));
        "connect -1" => NOT_OPEN; |_|
            connect(-1, &any_port()).outcome();
            sys!(CONNECT, -1isize, &raw const C_ANY_PORT, C_LEN);
            c(libc::connect(-1, (&raw const C_ANY_PORT).cast(), C_LEN));
        "connect a listener" => err(Errno::EISCONN); |w|
            connect(w.socket, &any_port()).outcome();
            sys!(CONNECT, w.socket, &raw const C_ANY_PORT, C_LEN);
            c(libc::connect(w.socket, (&raw const C_ANY_PORT).cast(), C_LEN));
        "recvfrom, nothing there" => err(Errno::EAGAIN); |w|
            recvfrom(w.pair[1], &mut [0; 4], MsgFlags::empty(), None).outcome();
            sys!(RECVFROM, w.pair[1], [0u8; 4].as_mut_ptr(), 4, 0, 0usize, 0usize);
            c_size(libc::recvfrom(w.pair[1], [0u8; 4].as_mut_ptr().cast(), 4, 0, null_mut(), null_mut()));
        "sendto" => 3; |w|
            sendto(w.pair[0], b"abc", MsgFlags::NOSIGNAL, None).outcome();
            sys!(SENDTO, w.pair[0], b"abc".as_ptr(), 3, QUIET, 0usize, 0);
            c_size(libc::sendto(w.pair[0], b"abc".as_ptr().cast(), 3, QUIET, null_mut(), 0));
        "recvfrom" => 3; |w|
            recvfrom(w.pair[1], &mut [0; 4], MsgFlags::empty(), Some(&mut SockAddr::empty())).outcome();
            sys!(RECVFROM, w.pair[1], [0u8; 4].as_mut_ptr(), 4, 0, 0usize, 0usize);
            c_size(libc::recvfrom(w.pair[1], [0u8; 4].as_mut_ptr().cast(), 4, 0, null_mut(), null_mut()));
        "sendmsg" => 5; |w|
            sendmsg(w.pair[0], &SendHeader::new(None, &[IoSlice::new(b"ab"), IoSlice::new(b"cde")], &[]), MsgFlags::NOSIGNAL).outcome();
            c_message(&mut [slice(&mut [1; 2]), slice(&mut [2; 3])], |m| sys!(SENDMSG, w.pair[0], m, QUIET));
            c_message(&mut [slice(&mut [1; 2]), slice(&mut [2; 3])], |m| c_size(libc::sendmsg(w.pair[0], m, QUIET)));
        "recvmsg" => 5; |w|
            recvmsg(w.pair[1], &mut RecvHeader::new(None, &mut [IoSliceMut::new(&mut [0; 2]), IoSliceMut::new(&mut [0; 9])], &mut []), MsgFlags::empty()).outcome();
            c_message(&mut [slice(&mut [0; 2]), slice(&mut [0; 9])], |m| sys!(RECVMSG, w.pair[1], m, 0));
            c_message(&mut [slice(&mut [0; 2]), slice(&mut [0; 9])], |m| c_size(libc::recvmsg(w.pair[1], m, 0)));
        "recvmsg of a file" => NOT_SOCKET; |w|
            recvmsg(w.file, &mut RecvHeader::new(None, &mut [], &mut []), MsgFlags::empty()).outcome();
            c_message(&mut [], |m| sys!(RECVMSG, w.file, m, 0));
            c_message(&mut [], |m| c_size(libc::recvmsg(w.file, m, 0)));
        "sendmmsg, length" => 4; |w|
            send_many(w.pair[0]);
            c_messages(&mut [1; 4], |m| sys!(SENDMMSG, w.pair[0], m, 1, QUIET));
            c_messages(&mut [1; 4], |m| c(libc::sendmmsg(w.pair[0], m, 1, QUIET)));
        "recvmmsg, length" => 4; |w|
            receive_many(w.pair[1]);
            c_messages(&mut [0; 9], |m| sys!(RECVMMSG, w.pair[1], m, 1, 0, 0usize));
            c_messages(&mut [0; 9], |m| c(libc::recvmmsg(w.pair[1], m, 1, 0, null_mut())));
        "recvmmsg, nothing there" => err(Errno::EAGAIN); |w|
            recvmmsg(w.pair[1], &mut [Many::new(RecvHeader::new(None, &mut [], &mut []))], MsgFlags::empty(), None).outcome();
            c_messages(&mut [], |m| sys!(RECVMMSG, w.pair[1], m, 1, 0, 0usize));
            c_messages(&mut [], |m| c(libc::recvmmsg(w.pair[1], m, 1, 0, null_mut())));
        "shutdown" => 0; |w|
            shutdown(w.pair[1], Shutdown::Both).outcome();
            sys!(SHUTDOWN, w.pair[1], libc::SHUT_RDWR);
            c(libc::shutdown(w.pair[1], libc::SHUT_RDWR));
        "sendto after the peer's shutdown" => err(Errno::EPIPE); |w|
            sendto(w.pair[0], b"x", MsgFlags::NOSIGNAL, None).outcome();
            sys!(SENDTO, w.pair[0], b"x".as_ptr(), 1, QUIET, 0usize, 0);
            c_size(libc::sendto(w.pair[0], b"x".as_ptr().cast(), 1, QUIET, null_mut(), 0));
        "recvfrom after the shutdown" => 0; |w|
            recvfrom(w.pair[0], &mut [0; 4], MsgFlags::empty(), None).outcome();
            sys!(RECVFROM, w.pair[0], [0u8; 4].as_mut_ptr(), 4, 0, 0usize, 0usize);
            c_size(libc::recvfrom(w.pair[0], [0u8; 4].as_mut_ptr().cast(), 4, 0, null_mut(), null_mut()));
        "SO_TYPE" => 1; |w|
            socket_type(w.socket).map(|t| t.0 as usize).outcome();
            sc_get(w.socket, libc::SOL_SOCKET, libc::SO_TYPE);
            c_get(w.socket, libc::SOL_SOCKET, libc::SO_TYPE);
        "SO_DOMAIN" => 2; |w|
            socket_domain(w.socket).map(|f| f.0 as usize).outcome();
            sc_get(w.socket, libc::SOL_SOCKET, libc::SO_DOMAIN);
            c_get(w.socket, libc::SOL_SOCKET, libc::SO_DOMAIN);
        "SO_PROTOCOL" => 6; |w|
            socket_protocol(w.socket).outcome();
            sc_get(w.socket, libc::SOL_SOCKET, libc::SO_PROTOCOL);
            c_get(w.socket, libc::SOL_SOCKET, libc::SO_PROTOCOL);
        "SO_ERROR, none" => 0; |w|
            socket_error(w.socket).map(|e| e.is_some()).outcome();
            sc_get(w.socket, libc::SOL_SOCKET, libc::SO_ERROR);
            c_get(w.socket, libc::SOL_SOCKET, libc::SO_ERROR);
        "SO_TYPE of a file" => NOT_SOCKET; |w|
            socket_type(w.file).map(drop).outcome();
            sc_get(w.file, libc::SOL_SOCKET, libc::SO_TYPE);
            c_get(w.file, libc::SOL_SOCKET, libc::SO_TYPE);
        "an option of no level" => err(Errno::ENOPROTOOPT); |w|
            setsockopt(w.socket, 12345, 1, &[0; 4]).outcome();
            sc_set(w.socket, 12345, 1, 0);
            c_set(w.socket, 12345, 1, 0);
        "an option that is too short" => INVALID; |w|
            setsockopt(w.socket, libc::SOL_SOCKET as u32, libc::SO_KEEPALIVE as u32, &[1]).outcome();
            sys!(SETSOCKOPT, w.socket, libc::SOL_SOCKET, libc::SO_KEEPALIVE, [1u8].as_ptr(), 1);
            c(libc::setsockopt(w.socket, libc::SOL_SOCKET, libc::SO_KEEPALIVE, [1u8].as_ptr().cast(), 1));
        "TCP_NODELAY of a Unix socket" => err(Errno::EOPNOTSUPP); |w|
            set_tcp_nodelay(w.pair[0], true).outcome();
            sc_set(w.pair[0], libc::SOL_TCP, libc::TCP_NODELAY, 1);
            c_set(w.pair[0], libc::SOL_TCP, libc::TCP_NODELAY, 1);
        "TCP_NODELAY, set and read" => 1; |w|
            { set_tcp_nodelay(w.socket, true).unwrap(); tcp_nodelay(w.socket).outcome() };
            sc_set(w.socket, libc::SOL_TCP, libc::TCP_NODELAY, 1) + sc_get(w.socket, libc::SOL_TCP, libc::TCP_NODELAY);
            c_set(w.socket, libc::SOL_TCP, libc::TCP_NODELAY, 1) + c_get(w.socket, libc::SOL_TCP, libc::TCP_NODELAY);
        "TCP_FASTOPEN_CONNECT of a listener" => INVALID; |w|
            set_tcp_fastopen_connect(w.socket, true).outcome();
            sc_set(w.socket, libc::SOL_TCP, libc::TCP_FASTOPEN_CONNECT, 1);
            c_set(w.socket, libc::SOL_TCP, libc::TCP_FASTOPEN_CONNECT, 1);
        "TCP_KEEPIDLE, set and read" => 77; |w|
            { set_tcp_keepidle(w.socket, 77).unwrap(); tcp_keepidle(w.socket).map(|n| n as usize).outcome() };
            sc_set(w.socket, libc::SOL_TCP, libc::TCP_KEEPIDLE, 77) + sc_get(w.socket, libc::SOL_TCP, libc::TCP_KEEPIDLE);
            c_set(w.socket, libc::SOL_TCP, libc::TCP_KEEPIDLE, 77) + c_get(w.socket, libc::SOL_TCP, libc::TCP_KEEPIDLE);
        "IP_TTL of 0" => INVALID; |w|
            set_ip_ttl(w.socket, 0).outcome();
            sc_set(w.socket, libc::SOL_IP, libc::IP_TTL, 0);
            c_set(w.socket, libc::SOL_IP, libc::IP_TTL, 0);
        "SO_LINGER, set and read" => 9; |w|
            { set_socket_linger(w.socket, Some(9)).unwrap(); socket_linger(w.socket).map(|s| s.unwrap() as usize).outcome() };
            linger(|set, v, l| if set { sys!(SETSOCKOPT, w.socket, 1, libc::SO_LINGER, v, 8) } else { sys!(GETSOCKOPT, w.socket, 1, libc::SO_LINGER, v, l) });
            linger(|set, v, l| c(if set { libc::setsockopt(w.socket, 1, libc::SO_LINGER, v.cast(), 8) } else { libc::getsockopt(w.socket, 1, libc::SO_LINGER, v.cast(), l) }));
        "SO_PEERCRED, pid" => std::process::id().into(); |w|
            socket_peercred(w.pair[0]).map(|u| u.pid).outcome();
            peer_pid(|v, l| sys!(GETSOCKOPT, w.pair[0], 1, libc::SO_PEERCRED, v, l));
            peer_pid(|v, l| c(libc::getsockopt(w.pair[0], 1, libc::SO_PEERCRED, v.cast(), l)));
        "SO_BINDTODEVICE of no device" => err(Errno::ENODEV); |w|
            set_socket_bindtodevice(w.socket, c"nosuchdevice0").outcome();
            sys!(SETSOCKOPT, w.socket, 1, libc::SO_BINDTODEVICE, c"nosuchdevice0".as_ptr(), 14);
            c(libc::setsockopt(w.socket, 1, libc::SO_BINDTODEVICE, c"nosuchdevice0".as_ptr().cast(), 14));
        "TCP_ULP, none" => 0; |w|
            tcp_has_ulp(w.socket).outcome();
            { let mut l = 16u32; sys!(GETSOCKOPT, w.socket, libc::SOL_TCP, libc::TCP_ULP, [0u8; 16].as_mut_ptr(), &raw mut l) + Outcome::from(l) };
            { let mut l = 16; c(libc::getsockopt(w.socket, libc::SOL_TCP, libc::TCP_ULP, [0u8; 16].as_mut_ptr().cast(), &mut l)) + Outcome::from(l) };
        "SIOCGIFINDEX" => 1; |w|
            ioctl_siocgifindex(w.socket, device(b"lo")).map(|n| n as usize).outcome();
            { let mut r = c_device(b"lo"); sys!(IOCTL, w.socket, libc::SIOCGIFINDEX, &raw mut r) + Outcome::from(r.ifr_ifru.ifru_ifindex) };
            { let mut r = c_device(b"lo"); c(libc::ioctl(w.socket, libc::SIOCGIFINDEX, &raw mut r)) + Outcome::from(r.ifr_ifru.ifru_ifindex) };
        "SIOCGIFINDEX of no device" => err(Errno::ENODEV); |w|
            ioctl_siocgifindex(w.socket, device(b"nosuch")).map(drop).outcome();
            { let mut r = c_device(b"nosuch"); sys!(IOCTL, w.socket, libc::SIOCGIFINDEX, &raw mut r) };
            { let mut r = c_device(b"nosuch"); c(libc::ioctl(w.socket, libc::SIOCGIFINDEX, &raw mut r)) };
        "IPV6_V6ONLY of an IPv4 socket" => err(Errno::EOPNOTSUPP); |w|
            ipv6_v6only(w.socket).outcome();
            sc_get(w.socket, libc::SOL_IPV6, libc::IPV6_V6ONLY);
            c_get(w.socket, libc::SOL_IPV6, libc::IPV6_V6ONLY);
    }
}
