//! Arguments as text. What a call reads is looked at when it is entered, what it writes when it returns.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};

use crate::names::{self, flags, hex, one};
use crate::signature::{self, Arg};
use crate::{Call, Outcome};

/// Bytes of a buffer that are shown.
const SHOWN: usize = 32;
/// Bytes of a name or address that are read.
const LONGEST: usize = 256;
/// Items of a list that are shown.
const ITEMS: usize = 8;

/// The memory of a stopped thread.
#[derive(Clone, Copy)]
pub(crate) struct Memory(pub i32);

impl Memory {
    /// Up to `len` bytes; fewer at the end of what is mapped, `None` if there are none.
    fn read(self, at: u64, len: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0u8; len];
        // One element for each page: the kernel reads an element whole or not at all.
        let mut remote = Vec::new();
        let (mut from, end) = (at, at.checked_add(len as u64)?);
        while from < end {
            let to = end.min((from | 4095) + 1);
            remote.push(libc::iovec { iov_base: from as *mut _, iov_len: (to - from) as usize });
            from = to;
        }
        let local = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: len };
        // SAFETY: the kernel writes at most `len` bytes to the local buffer.
        let n = unsafe {
            libc::process_vm_readv(self.0, &local, 1, remote.as_ptr(), remote.len() as libc::c_ulong, 0)
        };
        bytes.truncate(usize::try_from(n).ok()?);
        (!bytes.is_empty()).then_some(bytes)
    }

    fn exactly<const N: usize>(self, at: u64) -> Option<[u8; N]> {
        self.read(at, N)?.try_into().ok()
    }

    fn int(self, at: u64) -> Option<i32> {
        self.exactly(at).map(i32::from_ne_bytes)
    }

    fn words<const N: usize>(self, at: u64) -> Option<[u64; N]> {
        let bytes = self.read(at, 8 * N)?;
        let mut words =
            bytes.chunks_exact(8).map(|word| u64::from_ne_bytes(word.try_into().expect("8 bytes")));
        let words: [u64; N] = std::array::from_fn(|_| words.next().unwrap_or(0));
        (bytes.len() == 8 * N).then_some(words)
    }
}

/// The arguments at the entry: what is to be written yet, by its address.
pub(crate) fn entry(call: &Call, memory: Memory) -> Vec<String> {
    match signature::of(call.nr) {
        None => call.args.iter().map(|&arg| hex(arg)).collect(),
        Some(arguments) => (0..arguments.len())
            .map(|i| read(arguments[i], i, call, memory).unwrap_or_else(|| address(call.args[i])))
            .collect(),
    }
}

/// Replaces those that the call has written.
pub(crate) fn exit(call: &mut Call, memory: Memory) {
    let (Some(arguments), Outcome::Value(value)) = (signature::of(call.nr), call.outcome) else { return };
    for (i, &argument) in arguments.iter().enumerate() {
        if let Some(text) = written(argument, i, call, value as usize, memory) {
            call.shown[i] = text;
        }
    }
}

fn address(value: u64) -> String {
    if value == 0 { "NULL".to_owned() } else { format!("{value:#x}") }
}

/// Argument `i`, of kind `argument`, unless it is an address of what cannot be read, or is to be written.
fn read(argument: Arg, i: usize, call: &Call, memory: Memory) -> Option<String> {
    let value = call.args[i];
    let len = |of: usize| call.args[of] as usize;
    Some(match argument {
        Arg::Int => (value as i32).to_string(),
        Arg::Size => value.to_string(),
        Arg::Hex => hex(value),
        Arg::Octal => format!("{value:#o}"),
        Arg::One(names) => one(value, names),
        Arg::Flags(names) => flags(value, names),
        Arg::Both(bit, values, names) => {
            let low = one(value & (bit - 1), values);
            match value & !(bit - 1) {
                0 => low,
                high => format!("{low}|{}", flags(high, names)),
            }
        }
        Arg::SocketOption => one(value, option_names(call.args[i - 1])),
        Arg::Text => {
            let bytes = memory.read(value, LONGEST)?;
            quoted(bytes.split(|&byte| byte == 0).next()?, false)
        }
        Arg::Bytes(of) => bytes(memory, value, len(of))?,
        Arg::Slices(of) => list(len(of), |i| {
            let [at, len] = memory.words(value + 16 * i as u64)?;
            bytes(memory, at, len as usize)
        })?,
        Arg::Address(of) => socket_address(&memory.read(value, len(of).min(LONGEST))?),
        Arg::Event => event(memory, value)?,
        Arg::Polls(of) => polls(memory, value, len(of))?,
        Arg::Time => {
            let [secs, nanos] = memory.words(value)?;
            format!("{}.{nanos:09} s", secs as i64)
        }
        Arg::Signals => signals(memory.words::<1>(value)?[0]),
        Arg::IntAt => format!("[{}]", memory.int(value)?),
        Arg::How => {
            let [open, mode, resolve] = memory.words(value)?;
            let (open, resolve) = (flags(open, names::OPEN), flags(resolve, names::RESOLVE));
            format!("{{{open}, {mode:#o}, {resolve}}}")
        }
        Arg::Message => {
            let [name, name_len, slices, count, control, control_len] = memory.words(value)?;
            let slices = list(count as usize, |i| {
                let [at, len] = memory.words(slices + 16 * i as u64)?;
                bytes(memory, at, len as usize)
            })?;
            let to = memory.read(name, (name_len as u32 as usize).min(LONGEST));
            let to = to.map_or_else(|| "NULL".to_owned(), |bytes| socket_address(&bytes));
            format!("{{{to}, {slices}, control {} of {control_len}}}", address(control))
        }
        Arg::Filled | Arg::FilledTo(_) | Arg::AddressFilled(_) | Arg::Events | Arg::Pair => return None,
    })
}

/// Argument `i`, if it is one that the call has written, with result `value`.
fn written(argument: Arg, i: usize, call: &Call, value: usize, memory: Memory) -> Option<String> {
    let at = call.args[i];
    match argument {
        Arg::Filled => bytes(memory, at, value),
        Arg::FilledTo(of) => bytes(memory, at, memory.int(call.args[of])? as usize),
        Arg::AddressFilled(of) => {
            let len = memory.int(call.args[of])? as usize;
            Some(socket_address(&memory.read(at, len.min(LONGEST))?))
        }
        Arg::IntAt => Some(format!("[{}]", memory.int(at)?)),
        Arg::Events => list(value, |i| event(memory, at + 12 * i as u64)),
        Arg::Polls(of) => polls(memory, at, call.args[of] as usize),
        Arg::Pair => Some(format!("[{}, {}]", memory.int(at)?, memory.int(at + 4)?)),
        Arg::Time if call.nr as i64 == libc::SYS_clock_gettime => read(argument, i, call, memory),
        _ => None,
    }
}

fn option_names(level: u64) -> &'static [names::Name] {
    match level as i32 {
        libc::SOL_SOCKET => names::SOCKET_OPTION,
        libc::IPPROTO_TCP => names::TCP_OPTION,
        libc::IPPROTO_IP => names::IP_OPTION,
        libc::IPPROTO_IPV6 => names::IPV6_OPTION,
        _ => &[],
    }
}

fn list(len: usize, item: impl Fn(usize) -> Option<String>) -> Option<String> {
    let items: Option<Vec<_>> = (0..len.min(ITEMS)).map(item).collect();
    Some(format!("[{}{}]", items?.join(", "), if len > ITEMS { ", ..." } else { "" }))
}

fn bytes(memory: Memory, at: u64, len: usize) -> Option<String> {
    match len {
        0 => Some("\"\"".to_owned()),
        _ => Some(quoted(&memory.read(at, len.min(SHOWN))?, len > SHOWN)),
    }
}

fn quoted(bytes: &[u8], more: bool) -> String {
    format!("\"{}\"{}", bytes.escape_ascii(), if more { "..." } else { "" })
}

/// `struct epoll_event`, which is packed on x86_64.
fn event(memory: Memory, at: u64) -> Option<String> {
    let bytes: [u8; 12] = memory.exactly(at)?;
    let (events, data) = bytes.split_at(4);
    let events = u32::from_ne_bytes(events.try_into().expect("4 bytes"));
    let data = u64::from_ne_bytes(data.try_into().expect("8 bytes"));
    Some(format!("{{{}, {}}}", flags(events.into(), names::EPOLL), hex(data)))
}

fn polls(memory: Memory, at: u64, len: usize) -> Option<String> {
    list(len, |i| {
        let word = memory.words::<1>(at + 8 * i as u64)?[0];
        let (fd, wanted, seen) = (word as i32, word >> 32 & 0xffff, word >> 48);
        Some(format!("{{{fd}, {}, {}}}", flags(wanted, names::POLL), flags(seen, names::POLL)))
    })
}

fn signals(set: u64) -> String {
    let names: Vec<_> = (1..=64).filter(|n| set >> (n - 1) & 1 != 0).map(|n| one(n, names::SIGNAL)).collect();
    match names.len() {
        0..=16 => format!("[{}]", names.join(" ")),
        _ => format!("~{}", signals(!set)),
    }
}

fn socket_address(bytes: &[u8]) -> String {
    let half = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let word = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let shown = || {
        let family = u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?);
        Some(match i32::from(family) {
            libc::AF_INET => {
                let ip: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
                SocketAddrV4::new(Ipv4Addr::from(ip), half(2)?).to_string()
            }
            libc::AF_INET6 => {
                let ip: [u8; 16] = bytes.get(8..24)?.try_into().ok()?;
                SocketAddrV6::new(Ipv6Addr::from(ip), half(2)?, 0, word(24)?).to_string()
            }
            libc::AF_UNIX => match &bytes[2..] {
                [] => "unix:".to_owned(),
                [0, name @ ..] => format!("unix:@{}", name.escape_ascii()),
                path => format!("unix:{}", path.split(|&byte| byte == 0).next()?.escape_ascii()),
            },
            _ => return None,
        })
    };
    shown().unwrap_or_else(|| quoted(bytes, false))
}
