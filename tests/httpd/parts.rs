//! Tables for what computes without a connection.

use std::time::Duration;

use proptest::prelude::*;

use crate::args::{Command, Options, parse as parse_args};
use crate::range::{ByteRange, parse as parse_range};
use crate::request::{IfRange, Method, parse as parse_request};
use crate::text::{Encoded, Shown, html_escape, percent_decode, percent_encode};
use crate::{date, mime};

// Dates

const DATES: [(i64, &str); 9] = [
    (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
    (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"), // RFC 9110's example
    (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
    (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
    (978_307_199, "Sun, 31 Dec 2000 23:59:59 GMT"),
    (1_709_251_199, "Thu, 29 Feb 2024 23:59:59 GMT"),
    (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"), // no leap year
    (13_574_563_200, "Tue, 29 Feb 2400 00:00:00 GMT"),
    (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT"),
];

fn format(unix: i64) -> String {
    String::from_utf8(date::format(unix).to_vec()).unwrap()
}

#[test]
fn dates_are_formatted_and_read() {
    for (unix, text) in DATES {
        assert_eq!(format(unix), text);
        assert_eq!(date::parse(text.as_bytes()), Some(unix), "{text}");
    }
}

#[test]
fn dates_out_of_range_become_the_nearest() {
    assert_eq!(format(-1), DATES[0].1);
    assert_eq!(format(i64::MIN), DATES[0].1);
    assert_eq!(format(i64::MAX), DATES[8].1);
}

#[test]
fn obsolete_dates_are_read() {
    for (text, unix) in [
        ("Sunday, 06-Nov-94 08:49:37 GMT", 784_111_777),
        ("Sun Nov  6 08:49:37 1994", 784_111_777),
        ("Tuesday, 01-Jan-69 00:00:00 GMT", 3_124_224_000), // 2069
        ("Thursday, 01-Jan-70 00:00:00 GMT", 0),
        ("Sat, 31 Dec 2016 23:59:60 GMT", 1_483_228_800), // a leap second
        ("Mon, 01 Jan 0001 00:00:00 GMT", -62_135_596_800),
    ] {
        assert_eq!(date::parse(text.as_bytes()), Some(unix), "{text}");
    }
}

#[test]
fn what_is_no_date_is_not_read() {
    for text in [
        "",
        "now",
        "784111777",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 CET",
        "Sun, 06 Nov 1994 08:49:37 GMT GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Tue, 29 Feb 2023 00:00:00 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 94x 08:49:37 GMT",
        "Sun, 06 Nov 12345 08:49:37 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:00 GMT",
        "Sun, 06 Nov 1994 08:00:61 GMT",
        "Sun, 06 Nov 1994 8:49:37 GMT",
        "Sun, 06 Nov 1994 +8:49:37 GMT",
    ] {
        assert_eq!(date::parse(text.as_bytes()), None, "{text}");
    }
}

proptest! {
    #[test]
    fn every_second_survives_the_round_trip(unix in 0..=253_402_300_799i64) {
        prop_assert_eq!(date::parse(&date::format(unix)), Some(unix));
    }

    #[test]
    fn no_bytes_upset_the_readers(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = date::parse(&bytes);
        let _ = parse_range(&bytes);
        let _ = parse_request(&bytes);
        let _ = mime::content_type(&bytes);
        let _ = percent_decode(&mut bytes.clone());
    }

    #[test]
    fn paths_survive_encoding_and_decoding(path in prop::collection::vec(1..=255u8, 0..100)) {
        let mut encoded = encode(&path).into_bytes();
        prop_assert!(encoded.is_ascii());
        let len = percent_decode(&mut encoded);
        prop_assert_eq!(len.map(|len| &encoded[..len]), Some(&path[..]));
    }
}

// Text

fn collect(write: impl FnOnce(&mut dyn FnMut(&[u8]))) -> String {
    let mut all = Vec::new();
    write(&mut |piece| all.extend_from_slice(piece));
    String::from_utf8(all).unwrap()
}

fn encode(path: &[u8]) -> String {
    collect(|put| percent_encode(path, put))
}

#[test]
fn paths_are_decoded() {
    for (encoded, decoded) in [
        ("", Some("")),
        ("/plain", Some("/plain")),
        ("%41", Some("A")),
        ("%2f%2F", Some("//")),
        ("a%20b%25", Some("a b%")),
        ("%2541", Some("%41")), // once only
        ("+", Some("+")),
        ("%C3%A4", Some("ä")),
        ("%", None),
        ("%4", None),
        ("a%", None),
        ("%4g", None),
        ("%+1", None),
        ("%00", None),
        ("a%00b", None),
    ] {
        let mut text = encoded.as_bytes().to_vec();
        let len = percent_decode(&mut text);
        assert_eq!(len.map(|len| &text[..len]), decoded.map(str::as_bytes), "{encoded}");
    }
}

#[test]
fn names_are_encoded() {
    for (name, encoded) in [
        ("plain-1.0_a~", "plain-1.0_a~"),
        ("a/b", "a/b"),
        ("a b", "a%20b"),
        ("100%", "100%25"),
        ("javascript:x", "javascript%3Ax"),
        ("a?b#c", "a%3Fb%23c"),
        ("\"<'>&\\", "%22%3C%27%3E%26%5C"),
        ("ä\n", "%C3%A4%0A"),
    ] {
        assert_eq!(encode(name.as_bytes()), encoded);
        assert_eq!(Encoded(name.as_bytes()).to_string(), encoded);
    }
}

#[test]
fn html_is_escaped() {
    for (text, escaped) in [
        ("plain ä", "plain ä"),
        ("<script>", "&lt;script&gt;"),
        ("a&b", "a&amp;b"),
        ("\"'", "&quot;&#39;"),
        ("", ""),
    ] {
        assert_eq!(collect(|put| html_escape(text.as_bytes(), put)), escaped);
    }
}

#[test]
fn shown_arguments_stay_on_their_line() {
    assert_eq!(Shown(b"/srv/\xc3\xa4").to_string(), "/srv/ä");
    assert_eq!(Shown(b"a\nb\x1b[m").to_string(), "a\\nb\\u{1b}[m");
    assert_eq!(Shown(b"\xff.").to_string(), "\u{fffd}.");
}

// Ranges and types

#[test]
fn ranges_are_read_and_fit_to_the_file() {
    for (value, of_ten) in [
        ("bytes=0-0", Some((0, 1))),
        ("bytes=0-", Some((0, 10))),
        ("bytes=3-5", Some((3, 3))),
        ("BYTES=9-9", Some((9, 1))),
        ("bytes=5-1000", Some((5, 5))),
        ("bytes=0-99999999999999999999999", Some((0, 10))),
        ("bytes=-3", Some((7, 3))),
        ("bytes=-1000", Some((0, 10))),
        ("bytes=-0", None),
        ("bytes=10-", None),
        ("bytes=10-12", None),
    ] {
        let range = parse_range(value.as_bytes()).unwrap_or_else(|| panic!("{value}"));
        assert_eq!(range.of(10), of_ten, "{value}");
        assert_eq!(range.of(0), None, "{value} of an empty file");
    }
    assert_eq!(ByteRange::Within(0, u64::MAX).of(u64::MAX), Some((0, u64::MAX)));
}

#[test]
fn other_ranges_are_ignored() {
    for value in [
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=5",
        "bytes=5-4",
        "bytes=a-b",
        "bytes=+1-2",
        "lines=1-2",
        "bytes=0-1,3-4",
        "bytes= 0-1",
        "bytes=--1",
    ] {
        assert_eq!(parse_range(value.as_bytes()), None, "{value}");
    }
}

#[test]
fn content_types_go_by_the_extension() {
    const UNKNOWN: &str = "application/octet-stream";
    for (path, expected) in [
        ("a.html", "text/html; charset=utf-8"),
        ("A.HTML", "text/html; charset=utf-8"),
        ("dir.d/a.css", "text/css; charset=utf-8"),
        ("a.tar.gz", "application/gzip"),
        ("a.7z", "application/x-7z-compressed"),
        ("a.zip", "application/zip"),
        ("a.woff2", "font/woff2"),
        ("a.png", "image/png"),
        ("a", UNKNOWN),
        ("a.", UNKNOWN),
        ("html", UNKNOWN),
        ("a.html/b", UNKNOWN),
        ("a.verylongextension", UNKNOWN),
        ("", UNKNOWN),
    ] {
        assert_eq!(mime::content_type(path.as_bytes()), expected, "{path}");
    }
}

// The command line

fn args(line: &'static [&'static std::ffi::CStr]) -> Result<Command, &'static str> {
    parse_args(line.iter().copied()).map_err(|misuse| misuse.why)
}

#[test]
fn arguments_are_read() {
    let default = Options {
        root: c".",
        addr: c"127.0.0.1:8080",
        log: false,
        timeout: Duration::from_secs(30),
        sandbox: false,
    };
    let serve = |options| Ok(Command::Serve(options));
    assert_eq!(args(&[]), serve(default));
    assert_eq!(args(&[c"[::1]:80"]), serve(Options { addr: c"[::1]:80", ..default }));
    assert_eq!(args(&[c"--log", c"--root", c"/x"]), serve(Options { root: c"/x", log: true, ..default }));
    assert_eq!(args(&[c"--sandbox"]), serve(Options { sandbox: true, ..default }));
    assert_eq!(
        args(&[c"a:1", c"--timeout", c"2"]),
        serve(Options { addr: c"a:1", timeout: Duration::from_secs(2), ..default })
    );
    assert_eq!(args(&[c"--root", c"--log"]), serve(Options { root: c"--log", ..default }));
    assert_eq!(args(&[c"--", c"--log"]), serve(Options { addr: c"--log", ..default }));
    assert_eq!(args(&[c"--help", c"--what"]), Ok(Command::Help));
}

#[test]
fn arguments_that_cannot_be_understood_are_refused() {
    for line in [
        &[c"--what"][..],
        &[c"-l"],
        &[c"-"],
        &[c"a:1", c"b:2"],
        &[c"--root"],
        &[c"--timeout"],
        &[c"--timeout", c"0"],
        &[c"--timeout", c"-1"],
        &[c"--timeout", c"86401"],
        &[c"--timeout", c"soon"],
    ] {
        assert!(parse_args(line.iter().copied()).is_err(), "{line:?}");
    }
}

// Heads

fn head(lines: &str) -> String {
    format!("{}\r\n\r\n", lines.replace('\n', "\r\n"))
}

#[test]
fn heads_are_read() {
    let text = head("GET /a%20b?x=1 HTTP/1.1\nHost: h\nRange: bytes=1-2\nContent-Length: 7");
    let request = parse_request(format!("{text}rest").as_bytes()).unwrap().unwrap();
    assert_eq!(request.len, text.len());
    assert_eq!((request.method, &text[request.method_name.clone()]), (Method::Get, "GET"));
    assert_eq!((&text[request.path.clone()], &text[request.query.clone()]), ("/a%20b", "?x=1"));
    assert_eq!((request.http_1_0, request.keep_alive), (false, true));
    assert_eq!((request.body, request.expects_continue), (7, false));
    assert_eq!((request.range, request.if_range), (Some(ByteRange::Within(1, 2)), IfRange::Always));
}

#[test]
fn heads_are_complete_with_their_last_byte_and_not_before() {
    let text = head("HEAD / HTTP/1.1\nHost: h");
    for len in 0..text.len() {
        assert_eq!(parse_request(&text.as_bytes()[..len]), Ok(None), "{len} bytes");
    }
    assert!(parse_request(text.as_bytes()).unwrap().is_some());
}

#[test]
fn targets_of_every_form_are_taken_apart() {
    for (target, expected) in [
        ("/", Some(("/", ""))),
        ("//a/?", Some(("//a/", "?"))),
        ("/a?b?c", Some(("/a", "?b?c"))),
        ("http://host/a/b?q", Some(("/a/b", "?q"))),
        ("HTTPS://host:1/", Some(("/", ""))),
        ("http://host", Some(("", ""))),
        ("http://host?q", Some(("", "?q"))),
        ("http:///a", None),
        ("ftp://host/a", None),
        ("*", None),
        ("a", None),
        ("host:80", None),
        ("?q", None),
    ] {
        let text = head(&format!("GET {target} HTTP/1.1\nHost: h"));
        let parts = parse_request(text.as_bytes()).map(|request| {
            let request = request.unwrap();
            (&text[request.path], &text[request.query])
        });
        assert_eq!(parts.ok(), expected, "{target}");
    }
}

#[test]
fn connections_persist_as_the_version_and_the_header_say() {
    for (version, header, keep_alive) in [
        ("1.1", "", true),
        ("1.1", "\nConnection: close", false),
        ("1.1", "\nConnection: Keep-Alive", true),
        ("1.1", "\nConnection: upgrade, CLOSE", false),
        ("1.1", "\nConnection: a\nConnection: close", false),
        ("1.1", "\nConnection: closed", true),
        ("1.0", "", false),
        ("1.0", "\nConnection: keep-alive", true),
        ("1.0", "\nConnection: keep-alive, close", false),
    ] {
        let text = head(&format!("GET / HTTP/{version}\nHost: h{header}"));
        let request = parse_request(text.as_bytes()).unwrap().unwrap();
        assert_eq!(request.keep_alive, keep_alive, "{version} {header}");
    }
}

#[test]
fn entity_tags_beat_dates() {
    let since = "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT";
    let modified_since = |more: &str| {
        let text = head(&format!("GET / HTTP/1.1\nHost: h\n{since}{more}"));
        parse_request(text.as_bytes()).unwrap().unwrap().modified_since
    };
    assert_eq!(modified_since(""), Some(784_111_777));
    assert_eq!(modified_since("\nIf-None-Match: \"x\""), None);
}

#[test]
fn if_range_takes_dates_only() {
    for (value, expected) in
        [("Sun, 06 Nov 1994 08:49:37 GMT", IfRange::Unchanged(784_111_777)), ("\"tag\"", IfRange::Never)]
    {
        let text = head(&format!("GET / HTTP/1.1\nHost: h\nIf-Range: {value}"));
        assert_eq!(parse_request(text.as_bytes()).unwrap().unwrap().if_range, expected);
    }
}
