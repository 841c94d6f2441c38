//! Heads of requests: whatever comes, the result lies in what has come, and more bytes do not change it.

#[path = "../../src/bin/httpd/date.rs"]
mod date;
#[path = "../../src/bin/httpd/range.rs"]
mod range;
#[path = "../../src/bin/httpd/request.rs"]
mod request;
#[path = "../../src/bin/httpd/status.rs"]
mod status;
#[path = "../../src/bin/httpd/text.rs"]
mod text;

pub fn check(bytes: &[u8]) {
    let Ok(Some(request)) = request::parse(bytes) else { return };
    assert!((1..=bytes.len()).contains(&request.len));
    for part in [&request.method_name, &request.path, &request.query] {
        assert!(part.start <= part.end && part.end <= request.len, "{request:?}");
    }
    assert!(request.query.is_empty() || bytes[request.query.start] == b'?');
    assert_eq!(request::parse(&bytes[..request.len]).as_ref(), Ok(&Some(request.clone())));
    if let Some((first, len)) = request.range.and_then(|range| range.of(1000)) {
        assert!(len > 0 && first + len <= 1000, "{len} bytes from {first} on");
    }
    let mut path = bytes[request.path.clone()].to_vec();
    if let Some(len) = text::percent_decode(&mut path) {
        assert!(len <= request.path.len());
    }
}

pub fn is_whole(bytes: &[u8]) -> bool {
    request::parse(bytes).is_ok_and(|request| request.is_some())
}
