//! Files, listings and conditions.

use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::server::{Server, folder, get};

const NOVEMBER: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

/// Writes a file that was last changed on that day.
fn write_dated(path: &Path, content: &[u8]) {
    fs::write(path, content).unwrap();
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
    File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
}

/// Asks for `path` with more headers.
fn get_with(server: &Server, path: &str, headers: &str) -> crate::server::Response {
    let mut client = server.connect();
    client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n{headers}\r\n\r\n"));
    client.response()
}

#[test]
fn a_file_comes_with_what_is_known_of_it() {
    let root = folder("file");
    write_dated(&root.join("a.txt"), b"hello\n");
    let server = Server::start(&root);
    let response = server.get("/a.txt");
    assert_eq!((response.status, response.text()), (200, "hello\n"));
    assert_eq!(response.header("Content-Length"), Some("6"));
    assert_eq!(response.header("Content-Type"), Some("text/plain; charset=utf-8"));
    assert_eq!(response.header("Last-Modified"), Some(NOVEMBER));
    assert_eq!(response.header("Connection"), None);
}

#[test]
fn the_date_is_now() {
    let server = Server::start(&folder("date"));
    let now = || SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() as i64;
    let before = now();
    let response = server.get("/none");
    let date = crate::date::parse(response.header("Date").unwrap().as_bytes()).unwrap();
    assert!((before..=now()).contains(&date), "{date}");
}

#[test]
fn the_date_moves_on_on_a_connection() {
    let server = Server::start(&folder("dates"));
    let mut client = server.connect();
    let mut date = || {
        client.send(get("/none"));
        crate::date::parse(client.response().header("Date").unwrap().as_bytes()).unwrap()
    };
    let first = date();
    std::thread::sleep(Duration::from_millis(2100));
    let second = date();
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() as i64;
    assert!((first + 2..=now).contains(&second), "{first}, {second}, {now}");
}

#[test]
fn a_time_to_come_is_not_announced() {
    let root = folder("future");
    write_dated(&root.join("a"), b"");
    let later = SystemTime::now() + Duration::from_secs(86_400);
    File::options().write(true).open(root.join("a")).unwrap().set_modified(later).unwrap();
    let response = Server::start(&root).get("/a");
    assert_eq!(response.header("Last-Modified"), response.header("Date"));
}

#[test]
fn files_of_every_size_arrive_whole() {
    // Around the sizes that fit behind the head, pages, and what a socket takes at once.
    let root = folder("sizes");
    let sizes = [0, 1, 4095, 4096, 4097, 7000, 8000, 8500, 9000, 9216, 20_000, 65_536, 1 << 20, 5_000_000];
    let content = |size: usize| (0..size).map(|i| (i * 31 + i / 251) as u8).collect::<Vec<_>>();
    for size in sizes {
        fs::write(root.join(size.to_string()), content(size)).unwrap();
    }
    let server = Server::start(&root);
    let mut client = server.connect();
    for size in sizes.into_iter().chain(8_700..8_900) {
        if !sizes.contains(&size) {
            fs::write(root.join(size.to_string()), content(size)).unwrap();
        }
        client.send(get(format!("/{size}")));
        let response = client.response();
        assert_eq!(response.status, 200);
        assert!(response.body == content(size), "{size} bytes");
    }
}

#[test]
fn sixty_four_mebibytes_arrive_byte_for_byte() {
    let root = folder("large");
    let mut content = vec![0; 64 << 20];
    let mut state = 1u64;
    for word in content.chunks_exact_mut(8) {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        word.copy_from_slice(&state.to_ne_bytes());
    }
    fs::write(root.join("large.bin"), &content).unwrap();
    let server = Server::start(&root);
    let mut client = server.connect();
    for _ in 0..2 {
        client.send(get("/large.bin"));
        assert!(client.response().body == content);
    }
}

#[test]
fn head_is_get_without_the_body() {
    let root = folder("head");
    fs::write(root.join("a.txt"), "hello\n").unwrap();
    fs::write(root.join("big"), vec![b'x'; 100_000]).unwrap();
    fs::create_dir(root.join("sub")).unwrap();
    let server = Server::start(&root);
    let mut client = server.connect();
    for path in ["/a.txt", "/big", "/sub/", "/sub", "/none", "/%00", "/a.txt"] {
        client.send(get(path));
        let full = client.response();
        client.send(get(path).replace("GET", "HEAD"));
        let head = client.head(); // if a body followed, the next status line would be wrong
        assert_eq!(head.status, full.status, "{path}");
        for header in ["Content-Length", "Content-Type", "Last-Modified", "Location"] {
            assert_eq!(head.header(header), full.header(header), "{path}: {header}");
        }
    }
}

#[test]
fn what_was_not_modified_is_not_sent_again() {
    let root = folder("conditions");
    write_dated(&root.join("a"), b"hello");
    let server = Server::start(&root);
    for (headers, status) in [
        (format!("If-Modified-Since: {NOVEMBER}"), 304),
        ("If-Modified-Since: Sun, 06 Nov 1994 08:49:38 GMT".into(), 304),
        ("If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT".into(), 304),
        ("If-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT".into(), 200),
        ("If-Modified-Since: whenever".into(), 200),
        (format!("If-None-Match: \"x\"\r\nIf-Modified-Since: {NOVEMBER}"), 200),
    ] {
        let response = get_with(&server, "/a", &headers);
        assert_eq!(response.status, status, "{headers}");
        assert_eq!(response.header("Last-Modified"), Some(NOVEMBER), "{headers}");
        assert_eq!(response.text(), if status == 200 { "hello" } else { "" }, "{headers}");
    }
}

#[test]
fn parts_of_a_file_can_be_had() {
    let root = folder("ranges");
    write_dated(&root.join("a"), b"0123456789");
    let large: Vec<u8> = (0..300_000).map(|i| (i % 253) as u8).collect();
    fs::write(root.join("large"), &large).unwrap();
    let server = Server::start(&root);
    for (headers, status, range, body) in [
        ("Range: bytes=2-4", 206, Some("bytes 2-4/10"), "234"),
        ("Range: bytes=7-", 206, Some("bytes 7-9/10"), "789"),
        ("Range: bytes=-2", 206, Some("bytes 8-9/10"), "89"),
        ("Range: bytes=8-99", 206, Some("bytes 8-9/10"), "89"),
        ("Range: bytes=10-", 416, Some("bytes */10"), "416 Range Not Satisfiable\n"),
        ("Range: bytes=1-2,4-5", 200, None, "0123456789"),
        ("Range: bytes=4-2", 200, None, "0123456789"),
        ("Range: bytes=2-4\r\nIf-Range: Sun, 06 Nov 1994 08:49:37 GMT", 206, Some("bytes 2-4/10"), "234"),
        ("Range: bytes=2-4\r\nIf-Range: Sun, 06 Nov 1994 08:49:36 GMT", 200, None, "0123456789"),
        ("Range: bytes=2-4\r\nIf-Range: \"tag\"", 200, None, "0123456789"),
    ] {
        let response = get_with(&server, "/a", headers);
        let got = (response.status, response.header("Content-Range"), response.text());
        assert_eq!(got, (status, range, body), "{headers}");
    }
    let response = get_with(&server, "/large", "Range: bytes=1000-250000");
    assert!(response.body == large[1000..=250_000]);
}

#[test]
fn a_folder_shows_its_index() {
    let root = folder("index");
    fs::create_dir_all(root.join("sub/index.html")).unwrap();
    fs::write(root.join("index.html"), "<p>index").unwrap();
    let server = Server::start(&root);
    for target in ["/", "/?query", "//", "/./", "/sub/../", "http://test", "http://test/"] {
        let response = server.get(target);
        assert_eq!((response.status, response.text()), (200, "<p>index"), "{target}");
        assert_eq!(response.header("Content-Type"), Some("text/html; charset=utf-8"), "{target}");
    }
    // A directory of that name is none.
    assert!(server.get("/sub/").text().contains("index.html/"));
}

#[test]
fn a_short_head_leaves_room_for_the_index() {
    let root = folder("short");
    fs::write(root.join("index.html"), "index").unwrap();
    let answer = Server::start(&root).exchange("GET / HTTP/1.0\n\n");
    assert!(answer.ends_with("\r\n\r\nindex"), "{answer}");
}

#[test]
fn a_folder_without_an_index_is_listed() {
    let root = folder("listing");
    for name in ["b", "a b", "\"q\"'", "ä", "<script>alert(1)</script>".replace('/', "|").as_str(), "a&b"] {
        fs::write(root.join(name), "").unwrap();
    }
    fs::write(root.join("javascript:alert(1)"), "").unwrap();
    fs::write(root.join(std::ffi::OsStr::from_bytes(b"\xff")), "").unwrap();
    fs::create_dir_all(root.join("c/d")).unwrap();
    let server = Server::start(&root);
    let response = server.get("/");
    assert_eq!(response.status, 200);
    assert_eq!(response.header("Content-Type"), Some("text/html; charset=utf-8"));
    let page = String::from_utf8_lossy(&response.body);
    let rows: Vec<_> = page.lines().filter(|line| line.starts_with("<li>")).collect();
    assert_eq!(
        rows,
        [
            r#"<li><a href="%22q%22%27">&quot;q&quot;&#39;</a>"#,
            r#"<li><a href="%3Cscript%3Ealert%281%29%3C%7Cscript%3E">&lt;script&gt;alert(1)&lt;|script&gt;</a>"#,
            r#"<li><a href="a%20b">a b</a>"#,
            r#"<li><a href="a%26b">a&amp;b</a>"#,
            r#"<li><a href="b">b</a>"#,
            r#"<li><a href="c/">c/</a>"#,
            r#"<li><a href="javascript%3Aalert%281%29">javascript:alert(1)</a>"#,
            r#"<li><a href="%C3%A4">ä</a>"#,
            "<li><a href=\"%FF\">\u{fffd}</a>",
        ]
    );
    let sub = server.get("/c/");
    assert!(sub.text().contains("<a href=\"../\">../</a>\n<li><a href=\"d/\">d/</a>"), "{}", sub.text());
}

#[test]
fn every_link_of_a_listing_leads_to_its_file() {
    let root = folder("links");
    for i in 1..=255u8 {
        if i != b'/' && i != b'.' {
            fs::write(root.join(std::ffi::OsStr::from_bytes(&[i])), [i]).unwrap();
        }
    }
    let server = Server::start(&root);
    let page = server.get("/");
    let page = String::from_utf8_lossy(&page.body).into_owned();
    let links: Vec<_> = page.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(links.len(), 253);
    for link in links {
        let response = server.get(&format!("/{link}"));
        assert_eq!((response.status, response.body.len()), (200, 1), "{link}");
        let mut name = link.as_bytes().to_vec();
        let len = crate::text::percent_decode(&mut name).unwrap();
        assert_eq!(response.body, name[..len]);
    }
}

#[test]
fn a_large_folder_is_listed_in_order_and_whole() {
    let root = folder("many");
    let name = |i: usize| format!("{i:05}-{}", "x".repeat(i % 200));
    for i in 0..3000 {
        fs::write(root.join(name(i)), "").unwrap();
    }
    let server = Server::start(&root);
    let mut client = server.connect();
    client.send(get("/"));
    let names = |page: &str| {
        let names = page.lines().filter_map(|line| line.strip_prefix("<li><a href=\""));
        names.map(|rest| rest.split('"').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let expected: Vec<_> = (0..3000).map(name).collect();
    assert_eq!(names(client.response().text()), expected);
    client.send(get("/")); // the connection is in order behind the last chunk
    assert_eq!(names(client.response().text()), expected);

    // HTTP/1.0 has no chunks: the end of the connection is the end of the page.
    let answer = server.exchange("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert!(answer.contains("Connection: close\r\n") && !answer.contains("Transfer-Encoding"));
    assert_eq!(names(answer.split_once("\r\n\r\n").unwrap().1), expected);
}

#[test]
fn a_folder_without_its_slash_is_redirected() {
    let root = folder("redirect");
    fs::create_dir_all(root.join("a b/evil.example")).unwrap();
    fs::create_dir(root.join("plain")).unwrap();
    let server = Server::start(&root);
    for (target, location) in [
        ("/a%20b", "/a%20b/"),
        ("/a%20b?q=1&r=%0d%0a", "/a%20b/?q=1&r=%0d%0a"),
        ("/plain?q=1", "/plain/?q=1"),
        ("/plain?", "/plain/?"),
        ("//a%20b", "/a%20b/"), // never another host
        ("/a%20b/evil.example", "/a%20b/evil.example/"),
        ("http://test/a%20b", "/a%20b/"),
    ] {
        let response = server.get(target);
        assert_eq!((response.status, response.header("Location")), (301, Some(location)), "{target}");
    }
}

#[test]
fn what_is_not_there_is_not_found() {
    let root = folder("missing");
    fs::write(root.join("file"), "").unwrap();
    let server = Server::start(&root);
    let long_name = format!("/{}", "x".repeat(300));
    let long_path = "/x".repeat(3000);
    for target in ["/none", "/none/", "/none/none", "/file/", "/file/x", &long_name, &long_path] {
        let response = server.get(target);
        assert_eq!((response.status, response.text()), (404, "404 Not Found\n"), "{target}");
    }
}

#[test]
fn names_are_decoded() {
    let root = folder("names");
    for name in ["a b", "ä", "100%", "a+b", "q?", "#", "semi;colon"] {
        fs::write(root.join(name), name).unwrap();
    }
    let server = Server::start(&root);
    for (target, name) in [
        ("/a%20b", "a b"),
        ("/%61%20%62", "a b"),
        ("/%C3%a4", "ä"),
        ("/100%25", "100%"),
        ("/a+b", "a+b"),
        ("/q%3f", "q?"),
        ("/q%3F?x", "q?"),
        ("/%23", "#"),
        ("/semi;colon", "semi;colon"),
    ] {
        let response = server.get(target);
        assert_eq!((response.status, response.text()), (200, name), "{target}");
    }
}
