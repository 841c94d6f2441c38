//! Answers of name servers: each walk ends, and finds no more addresses than there is room for in the message.

#[path = "../../src/net/dns/message.rs"]
mod message;

use message::{Kind, MAX_QUERY, Name};

pub fn check(bytes: &[u8]) {
    answer(bytes);
    question(bytes);
}

fn answer(bytes: &[u8]) {
    let name = Name::new(b"www", b"example.org").unwrap();
    for (kind, size) in [(Kind::A, 4), (Kind::Aaaa, 16)] {
        // As it came, and behind the header that makes it an answer to our question.
        let mut buf = [0; MAX_QUERY];
        let mut ours = name.query(0x1234, kind, &mut buf).to_vec();
        let head = ours.len();
        ours.extend(bytes.get(2..).unwrap_or_default());
        ours[2] |= 0x80;
        ours[7] = bytes.first().copied().unwrap_or(0);
        assert!(name.is_answered_by(&ours, 0x1234, kind) || ours[2] & 0x78 != 0);
        for (message, least) in [(bytes, 0), (&*ours, head)] {
            for whole in [true, false] {
                let mut found = 0;
                name.answer(message, kind, whole, |_| found += 1);
                assert!(found * (size + 11) <= message.len().saturating_sub(least) || found == 0, "{found}");
            }
        }
    }
}

/// A name is refused, or becomes a question of a legal length.
fn question(bytes: &[u8]) {
    let (host, suffix) = bytes.split_at(bytes.len() / 2);
    if let Some(name) = Name::new(host, suffix) {
        let mut buf = [0; MAX_QUERY];
        let query = name.query(1, Kind::A, &mut buf);
        assert!(query.len() > 12 + 2 + 4 && query[query.len() - 5] == 0);
    }
}
