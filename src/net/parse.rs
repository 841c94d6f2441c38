//! Literal socket addresses, as `core::net` parses them, in a quarter of its size: an address in text is
//! the one thing every small server takes, and the tests hold the two against each other.

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// What is left of the text.
struct Text<'a>(&'a [u8]);

impl Text<'_> {
    /// Takes `byte` off the front, if it is there.
    fn take(&mut self, byte: u8) -> bool {
        match self.0 {
            [first, rest @ ..] if *first == byte => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    /// Takes a number of 1 to `digits` digits in `radix` off the front, if it is at most `max`. Where
    /// `zeros` is false a leading zero is no number (in some programs it would mean octal).
    fn number(&mut self, radix: u32, digits: usize, max: u32, zeros: bool) -> Option<u32> {
        let (mut value, mut n) = (0u32, 0);
        let mut rest = self.0;
        while let [first, behind @ ..] = rest
            && let Some(digit) = digit(*first, radix)
        {
            value = value.checked_mul(radix)?.checked_add(digit)?;
            rest = behind;
            n += 1;
        }
        if n == 0 || n > digits || value > max || !zeros && n > 1 && self.0.first() == Some(&b'0') {
            return None;
        }
        self.0 = rest;
        Some(value)
    }

    fn v4(&mut self) -> Option<Ipv4Addr> {
        let mut octets = [0; 4];
        for (i, octet) in octets.iter_mut().enumerate() {
            if i > 0 && !self.take(b'.') {
                return None;
            }
            *octet = self.number(10, 3, 255, false)? as u8;
        }
        Some(octets.into())
    }

    /// Groups into the front of `groups`, as many as there are, and whether an IPv4 address was the last
    /// two of them.
    fn groups(&mut self, groups: &mut [u16]) -> (usize, bool) {
        let len = groups.len();
        let mut n = 0;
        while let [group, more @ ..] = groups.get_mut(n..).unwrap_or_default() {
            let before = self.0;
            if n > 0 && !self.take(b':') {
                break;
            }
            let at = self.0;
            if let [low, ..] = more
                && n + 2 <= len
                && let Some(v4) = self.v4()
            {
                let [a, b, c, d] = v4.octets();
                *group = u16::from_be_bytes([a, b]);
                *low = u16::from_be_bytes([c, d]);
                return (n + 2, true);
            }
            self.0 = at;
            let Some(value) = self.number(16, 4, 0xffff, true) else {
                self.0 = before;
                break;
            };
            *group = value as u16;
            n += 1;
        }
        (n, false)
    }

    fn v6(&mut self) -> Option<Ipv6Addr> {
        let mut groups = [0; 8];
        let (head, v4) = self.groups(&mut groups);
        if head < 8 {
            if v4 || !self.take(b':') || !self.take(b':') {
                return None;
            }
            // `::` stands for one group of zeros at least.
            let mut tail = [0; 7];
            let (n, _) = self.groups(tail.get_mut(..7 - head).unwrap_or_default());
            let (from, to) = (tail.iter().take(n), groups.iter_mut().skip(8 - n));
            to.zip(from).for_each(|(to, from)| *to = *from);
        }
        Some(Ipv6Addr::from(groups))
    }

    /// The port, behind its colon, and nothing more.
    fn port(&mut self) -> Option<u16> {
        let port = self.take(b':').then(|| self.number(10, usize::MAX, 0xffff, true))??;
        self.0.is_empty().then_some(port as u16)
    }
}

fn digit(byte: u8, radix: u32) -> Option<u32> {
    let value = match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' if radix == 16 => byte - b'a' + 10,
        b'A'..=b'F' if radix == 16 => byte - b'A' + 10,
        _ => return None,
    };
    Some(value as u32)
}

/// `A.B.C.D:PORT` or `[V6%SCOPE]:PORT`.
pub(super) fn socket_addr(text: &[u8]) -> Option<SocketAddr> {
    let mut text = Text(text);
    if !text.take(b'[') {
        let ip = text.v4()?;
        return Some(SocketAddr::V4(SocketAddrV4::new(ip, text.port()?)));
    }
    let ip = text.v6()?;
    let scope = if text.take(b'%') { text.number(10, usize::MAX, u32::MAX, true)? } else { 0 };
    if !text.take(b']') {
        return None;
    }
    Some(SocketAddr::V6(SocketAddrV6::new(ip, text.port()?, 0, scope)))
}

/// `A.B.C.D` or `V6%SCOPE`, with `port`.
pub(super) fn ip(text: &[u8], port: u16) -> Option<SocketAddr> {
    let mut rest = Text(text);
    if let Some(ip) = rest.v4() {
        return rest.0.is_empty().then_some(SocketAddr::V4(SocketAddrV4::new(ip, port)));
    }
    let mut rest = Text(text);
    let ip = rest.v6()?;
    let scope = match rest.0 {
        [] => 0,
        [b'%', scope @ ..] => number(scope)?,
        _ => return None,
    };
    Some(SocketAddr::V6(SocketAddrV6::new(ip, port, 0, scope)))
}

/// A decimal number and nothing else.
pub(super) fn number(text: &[u8]) -> Option<u32> {
    let mut text = Text(text);
    let number = text.number(10, usize::MAX, u32::MAX, true)?;
    text.0.is_empty().then_some(number)
}

/// `HOST:PORT` or `[V6]:PORT`. What is no address before the port may be a name.
pub(super) fn host_port(text: &[u8]) -> Option<(&[u8], u16)> {
    let colon = text.iter().rposition(|byte| *byte == b':')?;
    let (host, port) = text.split_at_checked(colon)?;
    let (host, bare) = match host {
        [b'[', host @ .., b']'] => (host, true),
        host => (host, false),
    };
    // A colon within would make two ports of it.
    (host.contains(&b':') == bare).then_some((host, Text(port).port()?))
}

#[cfg(test)]
mod tests {
    use super::{host_port, ip, socket_addr};
    use proptest::prelude::*;
    use std::format;
    use std::net::{IpAddr, SocketAddr};

    fn agrees(text: &str) {
        assert_eq!(socket_addr(text.as_bytes()), text.parse::<SocketAddr>().ok(), "{text:?}");
    }

    #[test]
    fn agrees_with_core_on_the_edges() {
        for text in [
            "127.0.0.1:80",
            "0.0.0.0:0",
            "255.255.255.255:65535",
            "256.0.0.1:80",
            "1.2.3:80",
            "1.2.3.4.5:80",
            "01.2.3.4:80",
            "00.2.3.4:80",
            "1.2.3.4",
            "1.2.3.4:",
            "1.2.3.4:65536",
            "1.2.3.4:080",
            "1.2.3.4:80 ",
            "1.2.3.4:000000080",
            "1.2.3.4:+80",
            " 1.2.3.4:80",
            "1..3.4:80",
            "1.2.3.0004:80",
            "",
            "[::]:0",
            "[::1]:80",
            "[1::]:80",
            "::1:80",
            "[::1]",
            "[::1]:",
            "[1:2:3:4:5:6:7:8]:1",
            "[1:2:3:4:5:6:7]:1",
            "[1:2:3:4:5:6:7:8:9]:1",
            "[1:2:3:4:5:6:7::]:1",
            "[::2:3:4:5:6:7:8]:1",
            "[1::2:3:4:5:6:7:8]:1",
            "[1:2:3:4::5:6:7:8]:1",
            "[::1::]:1",
            "[:::]:1",
            "[:1]:1",
            "[1:]:1",
            "[12345::]:1",
            "[g::]:1",
            "[::ffff:1.2.3.4]:1",
            "[1:2:3:4:5:6:1.2.3.4]:1",
            "[1:2:3:4:5:6:7:1.2.3.4]:1",
            "[::1.2.3.4:5]:1",
            "[1.2.3.4::]:1",
            "[::1.2.3.04]:1",
            "[::1.2.3]:1",
            "[fe80::1%3]:1",
            "[fe80::1%]:1",
            "[fe80::1%eth0]:1",
            "[fe80::1%4294967295]:1",
            "[fe80::1%4294967296]:1",
            "[::FfFf]:1",
            "[0000:0::00001]:1",
            "[::1]80",
        ] {
            agrees(text);
        }
    }

    #[test]
    fn hosts_and_ports() {
        assert_eq!(host_port(b"a.b:80"), Some((&b"a.b"[..], 80)));
        assert_eq!(host_port(b"[::1%x]:65535"), Some((&b"::1%x"[..], 65535)));
        assert_eq!(host_port(b":1"), Some((&b""[..], 1)));
        for bad in [
            "", "a", "a:", "a:65536", "a:http", "a:-1", "a:80 ", "::1:80", "a:b:80", "[a]:80", "[::1:80",
            "[]:80",
        ] {
            assert_eq!(host_port(bad.as_bytes()), None, "{bad}");
        }
    }

    fn ip_agrees(text: &str) {
        let expected = text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 7));
        assert_eq!(ip(text.as_bytes(), 7), expected, "{text:?}");
    }

    #[test]
    fn addresses_without_a_port() {
        for text in [
            "1.2.3.4",
            "1.2.3",
            "1.2.3.4.",
            "1.2.3.4:7",
            "::",
            "::1",
            "[::1]",
            "::1:",
            "1:2",
            "::ffff:1.2.3.4",
        ] {
            ip_agrees(text);
        }
        assert_eq!(ip(b"fe80::1%4", 7), "[fe80::1%4]:7".parse().ok());
        for bad in ["fe80::1%", "fe80::1%4x", "fe80::1%4294967296", "1.2.3.4%1"] {
            assert_eq!(ip(bad.as_bytes(), 7), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_core_on_ips(ip: IpAddr) {
            ip_agrees(&format!("{ip}"));
        }

        #[test]
        fn agrees_with_core_on_rubbish_without_a_port(text in "[0-9a-f:.]{0,20}") {
            ip_agrees(&text);
        }

        #[test]
        fn agrees_with_core_on_addresses(addr: SocketAddr) {
            agrees(&format!("{addr}"));
        }

        #[test]
        fn agrees_with_core_on_rubbish(text in "[0-9a-f:.%\\[\\]]{0,24}") {
            agrees(&text);
        }

        #[test]
        fn agrees_with_core_on_near_misses(addr: SocketAddr, at in 0..40usize, with in "[0-9a-f:.%\\[\\]]{0,2}") {
            let mut text = format!("{addr}");
            let at = at.min(text.len());
            text.replace_range(at..(at + 1).min(text.len()), &with);
            agrees(&text);
        }
    }
}
