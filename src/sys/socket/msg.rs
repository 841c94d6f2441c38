//! sendmsg(2), recvmsg(2) and their forms for many messages: several buffers, control data and an
//! address in one call.

use core::marker::PhantomData;
use core::ptr::{null, null_mut};
use core::slice;

use linux_raw_sys::net as raw;
use memoffset::offset_of;
use sc::nr;
use static_assertions::{assert_eq_align, assert_eq_size, const_assert_eq};

use super::super::fd::{IoSlice, IoSliceMut};
use super::super::time::Timespec;
use super::super::{Errno, RawFd, int, opt_mut_ptr, ptr, result};
use super::{CmsgIter, MsgFlags, SockAddr, Storage};
use crate::arch;

/// `struct msghdr` as the kernel has it (`user_msghdr`).
#[repr(C)]
struct Header {
    name: *const Storage,
    name_len: u32,
    iov: *const IoSlice<'static>,
    iov_len: usize,
    control: *const u8,
    control_len: usize,
    flags: MsgFlags,
}

assert_eq_size!(Header, raw::msghdr);
assert_eq_align!(Header, raw::msghdr);
const_assert_eq!(offset_of!(Header, name), offset_of!(raw::msghdr, msg_name));
const_assert_eq!(offset_of!(Header, name_len), offset_of!(raw::msghdr, msg_namelen));
const_assert_eq!(offset_of!(Header, iov), offset_of!(raw::msghdr, msg_iov));
const_assert_eq!(offset_of!(Header, iov_len), offset_of!(raw::msghdr, msg_iovlen));
const_assert_eq!(offset_of!(Header, control), offset_of!(raw::msghdr, msg_control));
const_assert_eq!(offset_of!(Header, control_len), offset_of!(raw::msghdr, msg_controllen));
const_assert_eq!(offset_of!(Header, flags), offset_of!(raw::msghdr, msg_flags));

/// A message to send: where to, what, and control data with it.
#[repr(transparent)]
#[doc(alias = "msghdr")]
pub struct SendHeader<'a> {
    header: Header,
    borrows: PhantomData<&'a [u8]>,
}

impl<'a> SendHeader<'a> {
    /// Sends the bytes of `bufs` to `addr` (`None`: the peer), and with them `control`, as
    /// [`cmsg_rights`](super::cmsg_rights) builds it, or nothing.
    #[inline]
    pub fn new(addr: Option<&'a SockAddr>, bufs: &'a [IoSlice<'_>], control: &'a [u8]) -> SendHeader<'a> {
        let (name, name_len) =
            addr.map_or((null(), 0), |a| (&raw const a.storage, a.as_bytes().len() as u32));
        let header = Header {
            name,
            name_len,
            iov: bufs.as_ptr().cast(),
            iov_len: bufs.len(),
            control: if control.is_empty() { null() } else { control.as_ptr() },
            control_len: control.len(),
            flags: MsgFlags::empty(),
        };
        SendHeader { header, borrows: PhantomData }
    }
}

/// Room for a message to receive. A header is good for one call: the kernel replaces its lengths by
/// those of what came.
#[repr(transparent)]
#[doc(alias = "msghdr")]
pub struct RecvHeader<'a> {
    header: Header,
    borrows: PhantomData<&'a mut [u8]>,
}

impl<'a> RecvHeader<'a> {
    /// Receives into `bufs`, the sender's address into `addr` and control data into `control`.
    #[inline]
    pub fn new(
        addr: Option<&'a mut Storage>,
        bufs: &'a mut [IoSliceMut<'_>],
        control: &'a mut [u8],
    ) -> RecvHeader<'a> {
        let name = addr.map_or(null_mut(), core::ptr::from_mut);
        let header = Header {
            name,
            name_len: if name.is_null() { 0 } else { Storage::SIZE as u32 },
            iov: bufs.as_mut_ptr().cast(),
            iov_len: bufs.len(),
            control: if control.is_empty() { null_mut() } else { control.as_mut_ptr() },
            control_len: control.len(),
            flags: MsgFlags::empty(),
        };
        RecvHeader { header, borrows: PhantomData }
    }

    /// After the call: what the kernel says of the message.
    #[inline]
    pub fn flags(&self) -> MsgFlags {
        self.header.flags
    }

    /// After the call: the sender's address, if there was room for one and the sender has one.
    pub fn address(&self) -> Option<SockAddr> {
        if self.header.name.is_null() || self.header.name_len == 0 {
            return None;
        }
        // SAFETY: it points at the storage given to `new`, still borrowed.
        let storage = unsafe { *self.header.name };
        Some(SockAddr { storage, len: self.header.name_len })
    }

    /// After the call: the control messages that came.
    pub fn control(&self) -> CmsgIter<'_> {
        if self.header.control.is_null() {
            return CmsgIter::new(&[]);
        }
        // SAFETY: pointer and length are those of the slice given to `new`, still borrowed; the kernel
        // only ever lowers the length, and the bytes were initialised.
        CmsgIter::new(unsafe { slice::from_raw_parts(self.header.control, self.header.control_len) })
    }
}

/// `struct mmsghdr`: a message, and how many bytes of it went or came.
#[repr(C)]
#[doc(alias = "mmsghdr")]
pub struct Many<H> {
    /// The message.
    pub header: H,
    len: u32,
}

impl<H> Many<H> {
    /// A message that has not gone or come yet.
    #[inline]
    pub const fn new(header: H) -> Many<H> {
        Many { header, len: 0 }
    }

    /// After the call: the bytes that went or came, for the messages that the call counted.
    #[inline]
    #[allow(clippy::len_without_is_empty)] // a count of bytes, not the size of a collection
    pub const fn len(&self) -> usize {
        self.len as usize
    }
}

assert_eq_size!(Many<SendHeader<'_>>, raw::mmsghdr);
assert_eq_align!(Many<SendHeader<'_>>, raw::mmsghdr);
const_assert_eq!(offset_of!(Many<SendHeader<'static>>, len), offset_of!(raw::mmsghdr, msg_len));
assert_eq_size!(Many<RecvHeader<'_>>, raw::mmsghdr);

/// sendmsg(2): sends one message and returns how many bytes were taken.
///
/// # Errors
/// As [`sendto`](super::sendto); `EMSGSIZE` (more than 1024 buffers), `ETOOMANYREFS` (descriptors in
/// flight), `EINVAL` (malformed control data).
#[inline]
pub fn sendmsg(fd: RawFd, message: &SendHeader<'_>, flags: MsgFlags) -> Result<usize, Errno> {
    // SAFETY: the header is `struct msghdr`, and all that it names is borrowed for reading.
    result(unsafe { arch::syscall3(nr::SENDMSG, int(fd), ptr(message), flags.bits() as usize) })
}

/// recvmsg(2): receives one message and returns how many bytes came.
///
/// # Errors
/// As [`recvfrom`](super::recvfrom); `EMSGSIZE` (more than 1024 buffers).
#[inline]
pub fn recvmsg(fd: RawFd, message: &mut RecvHeader<'_>, flags: MsgFlags) -> Result<usize, Errno> {
    // SAFETY: the header is `struct msghdr`, and all that it names is borrowed for writing.
    result(unsafe { arch::syscall3(nr::RECVMSG, int(fd), ptr(&raw mut *message), flags.bits() as usize) })
}

/// sendmmsg(2): sends messages in turn and returns how many went. An error after the first message is
/// reported by the next call.
///
/// # Errors
/// As [`sendmsg`].
#[inline]
pub fn sendmmsg(fd: RawFd, messages: &mut [Many<SendHeader<'_>>], flags: MsgFlags) -> Result<usize, Errno> {
    let count = messages.len();
    // SAFETY: as in `sendmsg`, `count` times; the kernel writes the lengths.
    result(unsafe {
        arch::syscall4(nr::SENDMMSG, int(fd), ptr(messages.as_mut_ptr()), count, flags.bits() as usize)
    })
}

/// recvmmsg(2): receives messages in turn and returns how many came. The kernel looks at the timeout
/// only between messages and writes the rest of it back; see the man page before relying on it.
///
/// # Errors
/// As [`recvmsg`].
#[inline]
pub fn recvmmsg(
    fd: RawFd,
    messages: &mut [Many<RecvHeader<'_>>],
    flags: MsgFlags,
    timeout: Option<&mut Timespec>,
) -> Result<usize, Errno> {
    let count = messages.len();
    // SAFETY: as in `recvmsg`, `count` times; the timespec is null or writable.
    result(unsafe {
        arch::syscall5(
            nr::RECVMMSG,
            int(fd),
            ptr(messages.as_mut_ptr()),
            count,
            flags.bits() as usize,
            opt_mut_ptr(timeout),
        )
    })
}
