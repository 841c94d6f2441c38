//! Brings up the loopback device and becomes `/httpd`, which is then process 1. Its child is a client: it asks for a
//! file, prints the answer, and switches the machine off.
#![no_std]
#![no_main]

use core::ffi::CStr;
use core::mem::zeroed;
use core::ptr::null;

use linux_raw_sys::{general as raw, ioctl, net};
use netpoll::arch;
use netpoll::sys::fd::{close, read, write};
use netpoll::sys::process::getppid;
use netpoll::sys::sockaddr::SockAddr;
use netpoll::sys::socket::{Family, SocketFlags, SocketType, connect, socket};
use netpoll::sys::time::{Timespec, nanosleep};
use netpoll::sys::{Errno, result};

netpoll::start!(main);

const REQUEST: &[u8] = b"GET /hello HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

fn main(_: netpoll::rt::Env) -> i32 {
    lo_up().expect("SIOCSIFFLAGS");
    let args: [*const u8; 5] =
        [c"httpd", c"--sandbox", c"--root", c"/www", c"127.0.0.1:80"].map(|arg| arg.as_ptr().cast());
    // SAFETY: fork(2) by its older name: a process of its own, with a copy of this memory and this stack.
    match unsafe { arch::syscall5(raw::__NR_clone as usize, raw::SIGCHLD as usize, 0, 0, 0, 0) } {
        0 => {
            ask();
            // SAFETY: the magic numbers of reboot(2), and LINUX_REBOOT_CMD_POWER_OFF.
            unsafe { arch::syscall4(raw::__NR_reboot as usize, 0xfee1_dead, 672_274_793, 0x4321_fedc, 0) };
            1
        }
        _ => execve(c"/httpd", args),
    }
}

/// Sets `IFF_UP` of `lo`, netdevice(7).
fn lo_up() -> Result<(), Errno> {
    let socket = socket(Family::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, 0)?;
    // SAFETY: bytes and numbers, for which zeros are a value.
    let mut request: net::ifreq = unsafe { zeroed() };
    // SAFETY: writes to a `Copy` field of a union.
    unsafe {
        request.ifr_ifrn.ifrn_name[0] = b'l' as _;
        request.ifr_ifrn.ifrn_name[1] = b'o' as _;
        request.ifr_ifru.ifru_flags = net::net_device_flags::IFF_UP as i16;
    }
    let address = (&raw const request).expose_provenance();
    // SAFETY: the kernel reads one `struct ifreq`.
    result(unsafe {
        arch::syscall3(raw::__NR_ioctl as usize, socket as usize, ioctl::SIOCSIFFLAGS as usize, address)
    })?;
    // SAFETY: opened above, and used no more.
    unsafe { close(socket) }
}

fn execve(path: &CStr, args: [*const u8; 5]) -> i32 {
    let mut list = [null(); 6];
    list[..5].copy_from_slice(&args);
    let (path, list) = (path.as_ptr().expose_provenance(), list.as_ptr().expose_provenance());
    // SAFETY: a string and a list of strings, which ends with null; no environment. It returns only on failure.
    unsafe { arch::syscall3(raw::__NR_execve as usize, path, list, 0) };
    1
}

/// A request on the first connection that there is, and the answer on the console.
fn ask() {
    let addr = SockAddr::from(core::net::SocketAddr::from(([127, 0, 0, 1], 80)));
    for _ in 0..500 {
        let socket = socket(Family::INET, SocketType::STREAM, SocketFlags::CLOEXEC, 0).expect("socket");
        if connect(socket, &addr).is_ok() {
            let _ = write(socket, REQUEST);
            let mut answer = [0; 4096];
            while let Ok(n @ 1..) = read(socket, &mut answer) {
                let _ = write(1, &answer[..n]);
            }
            let _ = write(1, if getppid() == 1 { b"asked process 1\n" } else { b"asked another one\n" });
            return;
        }
        // SAFETY: opened above, and used no more.
        let _ = unsafe { close(socket) };
        let _ = nanosleep(&Timespec::from_nanos(10_000_000), None);
    }
}
