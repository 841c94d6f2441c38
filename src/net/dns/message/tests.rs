use super::*;
use proptest::prelude::*;
use std::vec::Vec;

const ID: u16 = 0x1234;

fn name(host: &str) -> Name {
    Name::new(host.as_bytes(), b"").unwrap()
}

fn wire(host: &str) -> Vec<u8> {
    name(host).wire().to_vec()
}

/// The answer to a question for `host`, with these flags and records.
fn answer(host: &str, kind: Kind, flags: u16, records: &[Vec<u8>]) -> Vec<u8> {
    let mut buf = [0; MAX_QUERY];
    let mut message = name(host).query(ID, kind, &mut buf).to_vec();
    message[2..4].copy_from_slice(&(RESPONSE | RECURSION_AVAILABLE | flags).to_be_bytes());
    message[6..8].copy_from_slice(&(records.len() as u16).to_be_bytes());
    message.extend(records.concat());
    message
}

/// The question's name, compressed.
const ASKED: &[u8] = &[0xc0, 12];

fn record(owner: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
    let mut record = owner.to_vec();
    [kind, IN, 0, 60, data.len() as u16].iter().for_each(|word| record.extend(word.to_be_bytes()));
    record.extend(data);
    record
}

fn a(owner: &[u8], last: u8) -> Vec<u8> {
    record(owner, Kind::A as u16, &[127, 0, 0, last])
}

/// What `message` says about `host`: the last bytes of the addresses.
fn read(host: &str, kind: Kind, message: &[u8]) -> (Answer, Vec<u8>) {
    let mut found = Vec::new();
    let answer = name(host).answer(message, kind, true, |ip| match ip {
        IpAddr::V4(ip) => found.push(ip.octets()[3]),
        IpAddr::V6(ip) => found.push(ip.octets()[15]),
    });
    (answer, found)
}

#[test]
fn names_of_hosts() {
    assert_eq!(wire("a.bc"), b"\x01a\x02bc\0");
    assert_eq!(wire("a.bc."), b"\x01a\x02bc\0");
    assert_eq!(Name::new(b"a", b"bc.d.").unwrap().wire(), b"\x01a\x02bc\x01d\0");
    assert_eq!(Name::new(b"a", b".").unwrap().wire(), b"\x01a\0");
    let (label, long) = ("x".repeat(63), "x".repeat(64));
    let most = [&label[..], &label, &label, &label[..61]].join(".");
    assert_eq!(wire(&most).len(), MAX_NAME);
    for good in ["_srv.x-1.d", &label, "1.2.3.4a", "4.x"] {
        assert!(Name::new(good.as_bytes(), b"").is_some(), "{good}");
    }
    let too_long = [&most, "x"].concat();
    let bad =
        ["", ".", "..", ".a", "a..b", "a..", "a b", "a\0", "é", "[a]", "a:1", "1.2.3", "256.1.1.1", "7."];
    for bad in bad.into_iter().chain([&long[..], &too_long]) {
        assert!(Name::new(bad.as_bytes(), b"").is_none(), "{bad}");
    }
}

#[test]
fn a_query_byte_by_byte() {
    let mut buf = [0; MAX_QUERY];
    let query = name("a.b").query(0x0102, Kind::Aaaa, &mut buf);
    assert_eq!(query, b"\x01\x02\x01\0\0\x01\0\0\0\0\0\0\x01a\x01b\0\0\x1c\0\x01");
}

#[test]
fn only_the_question_is_answered() {
    let asked = |message: &[u8]| name("Host.test").is_answered_by(message, ID, Kind::A);
    let good = answer("hOST.tESt", Kind::A, 0, &[]);
    assert!(asked(&good));
    for cut in 0..good.len() {
        assert!(!asked(&good[..cut]), "{cut} bytes");
    }
    // Id, the response bit, opcode, the count of questions, the name, its end, type and class.
    for (byte, bit) in [(0, 1), (1, 1), (2, 0x80), (2, 8), (5, 2), (13, 1), (22, 1), (24, 1), (26, 1)] {
        let mut bad = good.clone();
        bad[byte] ^= bit;
        assert!(!asked(&bad), "byte {byte}");
    }
    assert!(!asked(&answer("host.test", Kind::Aaaa, 0, &[])));
    assert!(!asked(&answer("host.tes", Kind::A, 0, &[])));
}

#[test]
fn addresses_of_the_name_and_nobody_elses() {
    let other = record(&wire("other"), Kind::A as u16, &[127, 0, 0, 9]);
    let mut chaos = a(ASKED, 8);
    chaos[5] = 3; // its class
    let text = record(ASKED, 16, b"\x03abc");
    let message = answer("h.x", Kind::A, 0, &[other, a(ASKED, 1), chaos, text, a(&wire("H.X"), 2)]);
    assert_eq!(read("h.x", Kind::A, &message), (Answer::Addresses, [1, 2].into()));
    assert_eq!(read("h.x", Kind::Aaaa, &message), (Answer::Nothing, [].into()));
    let v6 = record(ASKED, Kind::Aaaa as u16, &[7; 16]);
    assert_eq!(read("h", Kind::Aaaa, &answer("h", Kind::Aaaa, 0, &[v6])), (Answer::Addresses, [7].into()));
}

#[test]
fn codes_and_flags() {
    for (flags, expected) in [
        (NO_ERROR, Answer::Nothing),
        (NX_DOMAIN, Answer::Nothing),
        (1, Answer::Failed),
        (2, Answer::Failed),
        (5, Answer::Failed),
        (15, Answer::Failed),
        (TRUNCATED, Answer::Truncated),
        (TRUNCATED | 2, Answer::Failed),
    ] {
        assert_eq!(read("h", Kind::A, &answer("h", Kind::A, flags, &[])).0, expected, "{flags:#x}");
    }
    let mut lame = answer("h", Kind::A, 0, &[]);
    lame[3] = 0; // no recursion here
    assert_eq!(read("h", Kind::A, &lame).0, Answer::Failed);
    lame[2] |= (AUTHORITATIVE >> 8) as u8;
    assert_eq!(read("h", Kind::A, &lame).0, Answer::Nothing);
}

#[test]
fn aliases_in_any_order() {
    let chain = |names: [&str; 3]| {
        let [first, second, third] = names.map(wire);
        let mut records = [record(&first, CNAME, &second), record(&second, CNAME, &third), a(&third, 5)];
        records.rotate_left(1);
        answer(names[0], Kind::A, 0, &records)
    };
    assert_eq!(read("a.x", Kind::A, &chain(["a.x", "b.x", "c"])), (Answer::Addresses, [5].into()));
    // It ends nowhere.
    let nowhere = answer("a", Kind::A, 0, &[record(ASKED, CNAME, &wire("b"))]);
    assert_eq!(read("a", Kind::A, &nowhere), (Answer::Nothing, [].into()));
}

#[test]
fn aliases_without_end() {
    let message = answer("a", Kind::A, 0, &[record(ASKED, CNAME, ASKED)]);
    assert_eq!(read("a", Kind::A, &message).0, Answer::Failed);
    let message =
        answer("a", Kind::A, 0, &[record(ASKED, CNAME, &wire("b")), record(&wire("b"), CNAME, &wire("a"))]);
    assert_eq!(read("a", Kind::A, &message).0, Answer::Failed);
    let link = |n: usize| wire(&std::format!("n{n}"));
    for (links, expected) in [(MAX_CHAIN, Answer::Addresses), (MAX_CHAIN + 1, Answer::Failed)] {
        let mut records: Vec<_> = (0..links).map(|n| record(&link(n), CNAME, &link(n + 1))).collect();
        records.push(a(&link(links), 1));
        assert_eq!(read("n0", Kind::A, &answer("n0", Kind::A, 0, &records)).0, expected, "{links}");
    }
}

#[test]
fn compression_backwards_only() {
    // `b.x` by way of a pointer into the question's `a.x`, at 14.
    let alias = record(ASKED, CNAME, b"\x01b\xc0\x0e");
    let target = a(b"\x01B\xc0\x0e", 3);
    let message = answer("a.x", Kind::A, 0, &[alias, target]);
    assert_eq!(read("a.x", Kind::A, &message), (Answer::Addresses, [3].into()));
    let start = 12 + 5 + 4;
    for (at, owner) in [
        (start, [0xc0, start as u8].to_vec()),          // itself
        (start, [0xc0, start as u8 + 2].to_vec()),      // forwards
        (start, [1, b'a', 0xc0, start as u8].to_vec()), // into its own piece
        (start, [0xff, 0xff].to_vec()),                 // out of the message
        (start, [0x40, 0].to_vec()),                    // no kind of label
        (start, [0x80, 0].to_vec()),
    ] {
        let message = answer("a.x", Kind::A, 0, &[a(&owner, 1)]);
        assert_eq!(message[at..at + 2], owner[..2]);
        assert_eq!(read("a.x", Kind::A, &message).0, Answer::Failed, "{owner:x?}");
    }
    // Two that point at each other: the first of them points forwards.
    let pair = [a(&[0xc0, start as u8 + 16], 1), a(&[0xc0, start as u8], 2)];
    assert_eq!(read("a.x", Kind::A, &answer("a.x", Kind::A, 0, &pair)).0, Answer::Failed);
}

#[test]
fn broken_records() {
    let good = answer("h", Kind::A, 0, &[a(ASKED, 1), a(ASKED, 2)]);
    for cut in good.len() - 31..good.len() {
        assert_eq!(read("h", Kind::A, &good[..cut]).0, Answer::Failed, "{cut} bytes");
    }
    for bytes in [0, 3, 5, 16] {
        let odd = answer("h", Kind::A, 0, &[record(ASKED, Kind::A as u16, &[1; 16][..bytes])]);
        assert_eq!(read("h", Kind::A, &odd).0, Answer::Failed, "{bytes} bytes of address");
    }
    // Cut off by us: what is whole counts, but nothing is no answer.
    let cut = |len: usize| name("h").answer(&good[..len], Kind::A, false, |_| {});
    assert_eq!((cut(good.len() - 1), cut(good.len() - 17)), (Answer::Addresses, Answer::Failed));
}

/// Bytes that often mean something: pointers, small lengths, types.
fn byte() -> impl Strategy<Value = u8> {
    prop_oneof![Just(0xc0), Just(12), 0..4u8, any::<u8>()]
}

proptest! {
    #[test]
    fn any_bytes_come_to_an_end(message in prop::collection::vec(byte(), 0..300), whole: bool) {
        for kind in [Kind::A, Kind::Aaaa] {
            let _ = name("h.x").is_answered_by(&message, ID, kind);
            let _ = name("h.x").answer(&message, kind, whole, |_| {});
        }
    }

    #[test]
    fn any_records_come_to_an_end(
        count: u16,
        tail in prop::collection::vec(byte(), 0..400),
        patches in prop::collection::vec((0..400usize, byte()), 0..6),
    ) {
        let chain = [record(ASKED, CNAME, &wire("b")), record(&wire("b"), CNAME, ASKED), tail];
        let mut message = answer("h.x", Kind::A, 0, &chain);
        message[6..8].copy_from_slice(&count.to_be_bytes());
        for (at, byte) in patches {
            if let Some(place) = message.get_mut(HEADER + at) {
                *place = byte;
            }
        }
        let _ = name("h.x").answer(&message, Kind::A, true, |_| {});
    }

    #[test]
    fn every_name_is_valid_or_refused(host in "[a-zA-Z0-9._ -]{0,80}", suffix in "[a-z.]{0,9}") {
        if let Some(name) = Name::new(host.as_bytes(), suffix.as_bytes()) {
            let wire = name.wire();
            prop_assert_eq!(end_of_name(wire, 0), Some(wire.len()));
            prop_assert!(same_name(wire, 0, 0).unwrap());
        }
    }

    #[test]
    fn addresses_are_found_among_others(lasts in prop::collection::vec((any::<u8>(), any::<bool>()), 0..20)) {
        let records: Vec<_> =
            lasts.iter().map(|(last, ours)| a(if *ours { ASKED } else { b"\x01o\0" }, *last)).collect();
        let expected: Vec<_> = lasts.iter().filter(|(_, ours)| *ours).map(|(last, _)| *last).collect();
        let came = read("h.x", Kind::A, &answer("h.x", Kind::A, 0, &records));
        prop_assert_eq!(came.0 == Answer::Addresses, !expected.is_empty());
        prop_assert_eq!(came.1, expected);
    }
}
