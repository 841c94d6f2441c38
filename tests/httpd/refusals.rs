//! Requests that get less than they ask for.

use std::fs;
use std::net::Shutdown;

use crate::server::{Server, folder, get};

/// The statuses of all responses in `answer`, by their status lines.
fn statuses(answer: &str) -> Vec<u16> {
    let lines = answer.lines().filter_map(|line| line.strip_prefix("HTTP/1.1 "));
    lines.map(|rest| rest[..3].parse().unwrap()).collect()
}

fn server(test: &str) -> Server {
    let root = folder(test);
    fs::write(root.join("a"), "content").unwrap();
    Server::start(&root)
}

#[test]
fn what_is_no_request_is_refused_and_the_connection_closed() {
    let server = server("malformed");
    for (request, status) in [
        ("\x16\x03\x01\x02\x00\x01\x00\x01", 400), // a client that speaks TLS
        ("hello\r\n\r\n", 400),
        ("GET\r\n\r\n", 400),
        ("GET /a\r\n\r\n", 400), // HTTP/0.9
        ("GET  /a HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("G@T /a HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /\x01 HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /a HTTP/1.1\r\nHost h\r\n\r\n", 400),
        ("GET /a HTTP/1.1\r\nHost : h\r\n\r\n", 400),
        ("GET /a HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n", 400),
        ("GET /a HTTP/1.1\r\nHost: h\r\nA: b\0c\r\n\r\n", 400),
        ("GET /a HTTX/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /a HTTP/x.1\r\nHost: h\r\n\r\n", 400),
        ("GET /a HTTP/2.0\r\nHost: h\r\n\r\n", 505),
        ("GET /a HTTP/0.9\r\n\r\n", 505),
        ("GET /a HTTP/1.2\r\nHost: h\r\n\r\n", 505),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ("GET * HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET a HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET ftp://h/a HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /a HTTP/1.1\r\n\r\n", 400), // no host
        ("GET /a HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", 400),
        ("GET /a HTTP/1.1\r\nHost: h/x\r\n\r\n", 400),
        ("GET /a HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("GET /a HTTP/1.1\r\nHost: h\r\nExpect: miracles\r\n\r\n", 417),
    ] {
        // What follows on the connection could be anything, and is not answered.
        let answer = server.exchange(format!("{request}{}", get("/a")));
        assert_eq!(statuses(&answer), [status], "{request:?}: {answer}");
        assert!(answer.contains("\r\nConnection: close\r\n"), "{request:?}: {answer}");
    }
}

#[test]
fn ambiguous_lengths_are_refused() {
    let server = server("lengths");
    for (headers, status) in [
        ("Content-Length: 1\r\nContent-Length: 2", 400),
        ("Content-Length: 1\r\nContent-Length: 1", 400),
        ("Content-Length: 1, 1", 400),
        ("Content-Length: +1", 400),
        ("Content-Length: -1", 400),
        ("Content-Length: 0x1", 400),
        ("Content-Length:", 400),
        ("Content-Length: 99999999999999999999", 400),
        ("Content-Length: 1\r\nTransfer-Encoding: chunked", 400),
        ("Transfer-Encoding: chunked\r\nContent-Length: 1", 400),
        ("Transfer-Encoding: chunked", 411),
        ("Transfer-Encoding: gzip, chunked", 501),
        ("Transfer-Encoding: identity", 501),
    ] {
        let smuggled = format!("1\r\nA\r\n0\r\n\r\n{}", get("/a"));
        let answer = server.exchange(format!("GET /a HTTP/1.1\r\nHost: h\r\n{headers}\r\n\r\n{smuggled}"));
        assert_eq!(statuses(&answer), [status], "{headers}: {answer}");
    }
    let answer = server.exchange("GET /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(statuses(&answer), [400]);
}

#[test]
fn bad_encodings_are_refused_and_the_connection_goes_on() {
    let server = server("encodings");
    let mut client = server.connect();
    for target in ["/%", "/%4", "/%zz", "/a%00", "/%00/etc", "/a%0"] {
        client.send(get(target));
        assert_eq!(client.response().status, 400, "{target}");
    }
    client.send(get("/a"));
    assert_eq!(client.response().text(), "content");
}

#[test]
fn other_methods_are_told_which_are_allowed() {
    let server = server("methods");
    let mut client = server.connect();
    for request in [
        "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nGET /",
        "DELETE /a HTTP/1.1\r\nHost: h\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
        "CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n",
        "get /a HTTP/1.1\r\nHost: h\r\n\r\n",
        "PUT /%00 HTTP/1.1\r\nHost: h\r\n\r\n",
    ] {
        client.send(request);
        let response = client.response();
        assert_eq!((response.status, response.header("Allow")), (405, Some("GET, HEAD")), "{request}");
    }
    client.send(get("/a"));
    assert_eq!(client.response().text(), "content");
}

#[test]
fn a_head_may_have_eight_kibibytes_and_no_more() {
    let server = server("heads");
    let request = |len: usize| {
        let start = "GET /a HTTP/1.1\r\nHost: h\r\nX: ";
        format!("{start}{}\r\n\r\n", "x".repeat(len - start.len() - 4))
    };
    for (len, status) in [(8191, 200), (8192, 200), (8193, 431), (9000, 431), (100_000, 431)] {
        let answer = server.exchange(request(len));
        assert_eq!(statuses(&answer), [status], "{len} bytes");
    }
    let mut client = server.connect();
    for _ in 0..3 {
        client.send(request(8192));
        assert_eq!(client.response().text(), "content");
    }
    // A target alone, without an end in sight.
    assert_eq!(statuses(&server.exchange(format!("GET /{}", "a".repeat(20_000)))), [431]);
}

#[test]
fn a_head_may_have_a_hundred_headers() {
    let server = server("headers");
    for (count, status) in [(99, 200), (100, 431)] {
        let headers = "X: y\r\n".repeat(count);
        let answer = server.exchange(format!("GET /a HTTP/1.1\r\nHost: h\r\n{headers}\r\n"));
        assert_eq!(statuses(&answer), [status], "{count} and the host");
    }
}

#[test]
fn long_paths_work_with_a_buffer_full_of_requests() {
    // The answer is put together behind the requests: here that is as little room as there can be.
    let root = folder("full");
    let deep = format!("{}/", "d".repeat(200)).repeat(9);
    fs::create_dir_all(root.join(&deep)).unwrap();
    for i in 0..100 {
        fs::write(root.join(&deep).join(format!("{i}-{}", "<".repeat(100))), "").unwrap();
    }
    fs::write(root.join("a"), vec![b'x'; 3000]).unwrap();
    let server = Server::start(&root);
    let mut client = server.connect();
    let listing = get(format!("/{deep}"));
    let redirect = get(format!("/{}", deep.trim_end_matches('/').replace('d', "%64")));
    let requests = format!("{listing}{redirect}{}", get("/a").repeat(100));
    client.send(&requests[..8192.min(requests.len())]);
    client.send(&requests[8192.min(requests.len())..]);
    assert_eq!(client.response().text().lines().filter(|line| line.contains("&lt;&lt;")).count(), 100);
    assert_eq!(client.response().header("Location"), Some(format!("/{deep}").as_str()));
    for _ in 0..100 {
        assert_eq!(client.response().body.len(), 3000);
    }
}

#[test]
fn small_bodies_are_skipped() {
    let server = server("bodies");
    let mut client = server.connect();
    for len in [0, 1, 100, 8000, 20_000, 65_536] {
        // Requests in the body must not be answered.
        let body = get("/none").repeat(2000);
        let request = format!("GET /a HTTP/1.1\r\nHost: h\r\nContent-Length: {len}\r\n\r\n{}", &body[..len]);
        client.send(format!("{request}{}", get("/a")));
        assert_eq!(client.response().text(), "content", "{len}");
        assert_eq!(client.response().text(), "content", "behind {len}");
    }
}

#[test]
fn a_body_may_arrive_byte_by_byte() {
    let server = server("slow-body");
    let mut client = server.connect();
    client.send("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 50\r\n\r\n");
    for _ in 0..50 {
        client.send("x");
    }
    client.send(get("/a"));
    assert_eq!(client.response().status, 405);
    assert_eq!(client.response().text(), "content");
}

#[test]
fn large_bodies_are_refused_and_the_refusal_arrives() {
    let server = server("large-body");
    for len in ["65537", "1000000", "18446744073709551615"] {
        let mut client = server.connect();
        client.send(format!("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: {len}\r\n\r\n"));
        client.send(vec![b'x'; 1_000_000]); // must not reset the connection under the answer
        let response = client.response();
        assert_eq!((response.status, response.header("Connection")), (413, Some("close")));
        client.stream().shutdown(Shutdown::Write).unwrap();
        assert!(client.is_at_end());
    }
}

#[test]
fn a_client_that_waits_for_100_is_told_to_go_on() {
    let server = server("continue");
    let request = "GET /a HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n";
    let mut client = server.connect();
    for _ in 0..2 {
        client.send(request);
        assert_eq!(client.head().status, 100);
        client.send("abc");
        assert_eq!(client.response().text(), "content");
    }
    // One that does not wait needs no telling, nor one without a body, nor one of another age.
    assert_eq!(statuses(&server.exchange(format!("{request}abc"))), [200]);
    assert_eq!(statuses(&server.exchange(request.replace("Length: 3", "Length: 0"))), [200]);
    let old = request.replace("HTTP/1.1", "HTTP/1.0");
    assert_eq!(statuses(&server.exchange(format!("{old}abc"))), [200]);
    // What is too large is refused before it is sent.
    assert_eq!(statuses(&server.exchange(request.replace("Length: 3", "Length: 99999"))), [413]);
}
