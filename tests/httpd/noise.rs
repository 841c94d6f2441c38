//! Bytes that nobody meant.

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::path::PathBuf;
use std::sync::OnceLock;

use proptest::prelude::*;

use crate::server::{Server, folder, get};

fn root() -> &'static PathBuf {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let root = folder("noise");
        fs::write(root.join("a"), "content").unwrap();
        root
    })
}

/// Pieces of requests, and worse.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let token = prop::sample::select(vec![
        "GET ",
        "HEAD ",
        "POST ",
        "/",
        "/a",
        "/../",
        "%2e",
        "%",
        "%00",
        "?q",
        "http://h",
        "*",
        " HTTP/1.1",
        " HTTP/1.0",
        " HTTP/9.9",
        "\r\n",
        "\r\n\r\n",
        "\n",
        "\r",
        "Host: h\r\n",
        "Content-Length: 3\r\n",
        "Content-Length: 99999999\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Expect: 100-continue\r\n",
        "Connection: close\r\n",
        "Range: bytes=0-1\r\n",
        "If-Modified-Since: x\r\n",
        "GET /a HTTP/1.1\r\nHost: h\r\n\r\n",
    ]);
    prop_oneof![
        8 => token.prop_map(|token| token.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..40),
        1 => (any::<u8>(), 0..10_000usize).prop_map(|(byte, len)| vec![byte; len]),
    ]
}

#[test]
fn a_server_survives_any_bytes() {
    let mut server = Server::start(root());
    let config = ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(pieces in prop::collection::vec(piece(), 0..30))| {
        let client = server.connect();
        let mut stream = client.stream();
        for piece in pieces {
            if stream.write_all(&piece).is_err() {
                break; // refused already
            }
        }
        let _ = stream.shutdown(Shutdown::Write);
        // Whatever it was: there is an end, and no more than an answer for each request there can be.
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Ok(_) => {}
            Err(error) => prop_assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
        prop_assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 "));
    });
    let mut client = server.connect();
    client.send(get("/a"));
    assert_eq!(client.response().text(), "content");
    assert!(server.is_running());
}
