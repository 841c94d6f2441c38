//! What a lookup found.

use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::ops::Deref;

/// Addresses of one family that are kept; what is beyond them nobody would get to try.
const EACH: usize = 16;

/// The most addresses of a name.
pub(in crate::net) const MAX_ADDRS: usize = 2 * EACH;

/// The addresses of a name, without an allocation: a slice, at most 32 of them. IPv6 and IPv4 take turns,
/// IPv6 first, each in the order in which it came, which is the order to try them in (RFC 8305).
///
/// ```ignore
/// let addrs = netpoll::net::lookup_host("localhost:80")?;
/// let listener = netpoll::net::TcpListener::bind(&addrs[..])?;
/// ```
#[derive(Clone, Copy)]
pub struct Addrs {
    list: [SocketAddr; MAX_ADDRS],
    len: usize,
}

impl Addrs {
    pub(super) const fn new() -> Addrs {
        let nobody = SocketAddr::new(IpAddr::V4(core::net::Ipv4Addr::UNSPECIFIED), 0);
        Addrs { list: [nobody; MAX_ADDRS], len: 0 }
    }

    /// Adds one that is not there yet, if there is room for one of its family.
    pub(super) fn push(&mut self, addr: SocketAddr) {
        let family = self.iter().filter(|other| other.is_ipv6() == addr.is_ipv6()).count();
        if family < EACH
            && !self.contains(&addr)
            && let Some(place) = self.list.get_mut(self.len)
        {
            *place = addr;
            self.len += 1;
        }
    }

    /// Takes all but the first `len` out again.
    pub(super) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Puts the families in turns.
    pub(super) fn interleave(&mut self) {
        let before = *self;
        let mut families = [true, false].map(|v6| before.iter().filter(move |addr| addr.is_ipv6() == v6));
        let mut turn = 0;
        for place in self.list.iter_mut().take(self.len) {
            let [v6, v4] = &mut families;
            let next =
                if turn == 0 { v6.next().or_else(|| v4.next()) } else { v4.next().or_else(|| v6.next()) };
            if let Some(addr) = next {
                *place = *addr;
            }
            turn ^= 1;
        }
    }
}

impl Deref for Addrs {
    type Target = [SocketAddr];
    fn deref(&self) -> &[SocketAddr] {
        self.list.get(..self.len).unwrap_or_default()
    }
}

impl IntoIterator for Addrs {
    type Item = SocketAddr;
    type IntoIter = core::iter::Take<core::array::IntoIter<SocketAddr, MAX_ADDRS>>;
    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter().take(self.len)
    }
}

impl<'a> IntoIterator for &'a Addrs {
    type Item = &'a SocketAddr;
    type IntoIter = core::slice::Iter<'a, SocketAddr>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Debug for Addrs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::vec::Vec;

    fn addrs(texts: &str) -> Addrs {
        let mut addrs = Addrs::new();
        texts.split_whitespace().for_each(|text| addrs.push(SocketAddr::new(text.parse().unwrap(), 7)));
        addrs
    }

    #[test]
    fn families_take_turns_and_keep_their_order() {
        for (came, tried) in [
            ("", ""),
            ("1.1.1.1", "1.1.1.1"),
            ("::1", "::1"),
            ("1.1.1.1 ::1", "::1 1.1.1.1"),
            ("1.1.1.1 2.2.2.2 ::1", "::1 1.1.1.1 2.2.2.2"),
            ("::1 ::2 ::3 1.1.1.1", "::1 1.1.1.1 ::2 ::3"),
            ("1.1.1.1 2.2.2.2 ::1 ::2", "::1 1.1.1.1 ::2 2.2.2.2"),
        ] {
            let mut list = addrs(came);
            list.interleave();
            assert_eq!(list[..], addrs(tried)[..], "{came}");
        }
    }

    #[test]
    fn duplicates_are_dropped_and_one_family_leaves_room_for_the_other() {
        assert_eq!(addrs("::1 ::1 1.1.1.1 ::1").len(), 2);
        let many: Vec<_> = (0..100).map(|n| format!("1.1.1.{n} ::{n:x}")).collect();
        let mut list = addrs(&many.join(" "));
        assert_eq!((list.len(), list.iter().filter(|a| a.is_ipv6()).count()), (MAX_ADDRS, EACH));
        list.truncate(3);
        assert_eq!(list.into_iter().count(), 3);
    }
}
