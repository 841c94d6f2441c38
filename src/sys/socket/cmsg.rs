//! Control data, cmsg(3): what travels beside the bytes of a message.

use linux_raw_sys::net as raw;
use memoffset::offset_of;
use static_assertions::const_assert_eq;

use super::super::{Errno, RawFd};

const LEN: usize = offset_of!(raw::cmsghdr, cmsg_len);
const LEVEL: usize = offset_of!(raw::cmsghdr, cmsg_level);
const TYPE: usize = offset_of!(raw::cmsghdr, cmsg_type);
const HEADER: usize = size_of::<raw::cmsghdr>();
const_assert_eq!(HEADER % size_of::<usize>(), 0); // the data follows without a gap

/// The bytes that a control message with `data_len` bytes of data takes in a buffer.
#[inline]
#[doc(alias = "CMSG_SPACE")]
pub const fn cmsg_space(data_len: usize) -> usize {
    HEADER + data_len.next_multiple_of(size_of::<usize>())
}

/// Writes a control message that passes `fds` to the peer of a Unix socket into `buf`, and returns the
/// part to send: [`cmsg_space`] of 4 bytes a descriptor. The kernel takes at most 253 of them.
///
/// # Errors
/// `ENOBUFS` if `buf` is too short.
#[doc(alias = "SCM_RIGHTS")]
pub fn cmsg_rights<'a>(buf: &'a mut [u8], fds: &[RawFd]) -> Result<&'a [u8], Errno> {
    let data_len = size_of_val(fds);
    let buf = buf.get_mut(..cmsg_space(data_len)).ok_or(Errno::ENOBUFS)?;
    buf.fill(0);
    buf[LEN..LEN + size_of::<usize>()].copy_from_slice(&(HEADER + data_len).to_ne_bytes());
    buf[LEVEL..LEVEL + 4].copy_from_slice(&raw::SOL_SOCKET.to_ne_bytes());
    buf[TYPE..TYPE + 4].copy_from_slice(&raw::SCM_RIGHTS.to_ne_bytes());
    for (to, fd) in buf[HEADER..].chunks_exact_mut(4).zip(fds) {
        to.copy_from_slice(&fd.to_ne_bytes());
    }
    Ok(buf)
}

/// One control message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "cmsghdr")]
pub struct Cmsg<'a> {
    /// The protocol it belongs to, `SOL_*`.
    pub level: i32,
    /// What it is, in the numbers of that protocol.
    pub ty: i32,
    /// What it says.
    pub data: &'a [u8],
}

impl<'a> Cmsg<'a> {
    /// The descriptors that came with the message, if this is what it is about. They are open from the
    /// moment of the call: whoever drops them unread leaks them.
    #[doc(alias = "SCM_RIGHTS")]
    pub fn rights(&self) -> Option<impl Iterator<Item = RawFd> + use<'a>> {
        let ours = self.level == raw::SOL_SOCKET as i32 && self.ty == raw::SCM_RIGHTS as i32;
        let data = self.data;
        ours.then(|| data.chunks_exact(4).map(|fd| RawFd::from_ne_bytes([fd[0], fd[1], fd[2], fd[3]])))
    }
}

/// The control messages of a buffer.
#[derive(Clone, Debug)]
pub struct CmsgIter<'a> {
    rest: &'a [u8],
}

impl<'a> CmsgIter<'a> {
    pub(super) const fn new(rest: &'a [u8]) -> CmsgIter<'a> {
        CmsgIter { rest }
    }
}

impl<'a> Iterator for CmsgIter<'a> {
    type Item = Cmsg<'a>;

    fn next(&mut self) -> Option<Cmsg<'a>> {
        let header = self.rest.get(..HEADER)?;
        let len = usize::from_ne_bytes(header[LEN..].first_chunk().copied()?);
        let level = i32::from_ne_bytes(header[LEVEL..].first_chunk().copied()?);
        let ty = i32::from_ne_bytes(header[TYPE..].first_chunk().copied()?);
        let data = self.rest.get(HEADER..len)?;
        // The last message need not be padded.
        self.rest = self.rest.get(cmsg_space(data.len())..).unwrap_or_default();
        Some(Cmsg { level, ty, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_survive_the_round_trip() {
        let mut buf = [0xff; 64];
        let sent = cmsg_rights(&mut buf, &[3, -1, 70000]).unwrap();
        assert_eq!(sent.len(), 32);
        let mut messages = CmsgIter::new(sent);
        let first = messages.next().unwrap();
        assert!(first.rights().unwrap().eq([3, -1, 70000]));
        assert_eq!(messages.next(), None);
        assert_eq!(cmsg_rights(&mut [0; 23], &[1, 2]), Err(Errno::ENOBUFS));
    }

    #[test]
    fn broken_lengths_end_the_iteration() {
        for len in [0usize, 15, 17, usize::MAX] {
            let mut buf = [0; 16];
            buf[..8].copy_from_slice(&len.to_ne_bytes());
            assert_eq!(CmsgIter::new(&buf).next(), None, "length {len}");
        }
    }
}
