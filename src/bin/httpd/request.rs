//! A request's head: what `httparse` finds in it, digested to what the answer depends on.

use core::mem::MaybeUninit;
use core::ops::Range;

use super::range::{self, ByteRange};
use super::{date, status};

/// Headers that a request may have; more are answered with 431.
const MAX_HEADERS: usize = 100;
/// Headers that most requests have at most: room for them is one page of the stack less than for all.
const USUAL_HEADERS: usize = 24;

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    Get,
    Head,
    /// None that is served.
    Other,
}

/// When a range is to be sent (`If-Range`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IfRange {
    Always,
    /// If the file is as of this second.
    Unchanged(i64),
    /// On a condition that never holds here, such as an entity tag.
    Never,
}

/// A request's head. Borrows nothing, so that the bytes of the target can be decoded where they are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// Bytes of the head, up to and with the empty line.
    pub len: usize,
    pub method: Method,
    /// Where in the head it stands.
    pub method_name: Range<usize>,
    /// HTTP/1.0: no chunked answers, and the connection closes unless asked otherwise.
    pub http_1_0: bool,
    /// The connection is to stay open.
    pub keep_alive: bool,
    /// Where in the head the path is.
    pub path: Range<usize>,
    /// Where in the head the query is, the `?` included; may be empty.
    pub query: Range<usize>,
    /// Bytes of the body.
    pub body: u64,
    /// The client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
    /// `If-Modified-Since`, unless something that takes precedence is there, too.
    pub modified_since: Option<i64>,
    pub range: Option<ByteRange>,
    pub if_range: IfRange,
}

/// Reads the head at the start of `bytes`; `None` if it is not complete yet.
///
/// # Errors
/// The status to answer with. Where the next request begins is not known then.
pub fn parse(bytes: &[u8]) -> Result<Option<Request>, &'static str> {
    match parse_within::<USUAL_HEADERS>(bytes) {
        Err(status::HEAD_TOO_LARGE) => parse_within::<MAX_HEADERS>(bytes),
        result => result,
    }
}

/// As [`parse`], with so many headers at most. Not inlined: the room is only on the stack while it is used.
#[inline(never)]
fn parse_within<const HEADERS: usize>(bytes: &[u8]) -> Result<Option<Request>, &'static str> {
    let mut headers = [const { MaybeUninit::uninit() }; HEADERS];
    let mut head = httparse::Request::new(&mut []);
    let len = match head.parse_with_uninit_headers(bytes, &mut headers) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(status::HEAD_TOO_LARGE),
        Err(httparse::Error::Version) if is_other_version(bytes) => return Err(status::VERSION),
        Err(_) => return Err(status::BAD_REQUEST),
    };
    let (Some(method), Some(target), Some(version)) = (head.method, head.path, head.version) else {
        return Err(status::BAD_REQUEST); // a complete head has all three
    };

    let position = |part: &str| part.as_ptr() as usize - bytes.as_ptr() as usize;
    let method_name = position(method)..position(method) + method.len();
    let method = match method {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        _ => Method::Other,
    };
    let fields = Fields::read(head.headers, version == 0)?;
    // A target of another form may be right for another method, which gets its 405 later.
    let (path, query) = match split_target(target.as_bytes()) {
        Some(parts) => parts,
        None if method == Method::Other => (0..0, 0..0),
        None => return Err(status::BAD_REQUEST),
    };
    let start = position(target);
    Ok(Some(Request {
        len,
        method,
        method_name,
        http_1_0: version == 0,
        keep_alive: if version == 0 { fields.keep_alive && !fields.close } else { !fields.close },
        path: path.start + start..path.end + start,
        query: query.start + start..query.end + start,
        body: fields.content_length.unwrap_or(0),
        expects_continue: fields.expects_continue,
        modified_since: if fields.if_none_match { None } else { fields.modified_since },
        range: fields.range,
        if_range: fields.if_range,
    }))
}

/// Whether the request line names a version of HTTP, though none that is served.
fn is_other_version(bytes: &[u8]) -> bool {
    let start = bytes.iter().position(|byte| !b"\r\n".contains(byte)).unwrap_or(0);
    let line = bytes[start..].split(|byte| b"\r\n".contains(byte)).next().unwrap_or_default();
    let version = line.rsplit(|&byte| byte == b' ').next().unwrap_or_default();
    matches!(version, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
        if major.is_ascii_digit() && minor.is_ascii_digit())
}

/// Path and query of a target such as `/path?query` or `http://host/path?query`.
fn split_target(target: &[u8]) -> Option<(Range<usize>, Range<usize>)> {
    let has_scheme =
        |scheme: &[u8]| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    let authority = match target {
        [b'/', ..] => 0..0,
        _ if has_scheme(b"http://") => 7..target.len(),
        _ if has_scheme(b"https://") => 8..target.len(),
        _ => return None,
    };
    let find = |from: usize, bytes: &[u8]| {
        target[from..].iter().position(|byte| bytes.contains(byte)).map_or(target.len(), |at| from + at)
    };
    let path = if authority.is_empty() { 0 } else { find(authority.start, b"/?") };
    if !authority.is_empty() && path == authority.start {
        return None; // no host
    }
    let query = find(path, b"?");
    Some((path..query, query..target.len()))
}

/// The headers that matter.
struct Fields {
    host: bool,
    close: bool,
    keep_alive: bool,
    content_length: Option<u64>,
    expects_continue: bool,
    if_none_match: bool,
    modified_since: Option<i64>,
    range: Option<ByteRange>,
    if_range: IfRange,
}

impl Fields {
    fn read(headers: &[httparse::Header<'_>], http_1_0: bool) -> Result<Fields, &'static str> {
        let mut fields = Fields {
            host: false,
            close: false,
            keep_alive: false,
            content_length: None,
            expects_continue: false,
            if_none_match: false,
            modified_since: None,
            range: None,
            if_range: IfRange::Always,
        };
        let mut transfer_encoding = None;
        for header in headers {
            let value = header.value.trim_ascii();
            // By length first: most headers match none of these.
            match header.name.len() {
                4 if is(header, "host") => {
                    if fields.host || !is_host(value) {
                        return Err(status::BAD_REQUEST);
                    }
                    fields.host = true;
                }
                5 if is(header, "range") => fields.range = range::parse(value),
                6 if is(header, "expect") && !http_1_0 => {
                    if !value.eq_ignore_ascii_case(b"100-continue") {
                        return Err(status::EXPECTATION_FAILED);
                    }
                    fields.expects_continue = true;
                }
                8 if is(header, "if-range") => {
                    fields.if_range = date::parse(value).map_or(IfRange::Never, IfRange::Unchanged);
                }
                10 if is(header, "connection") => {
                    for option in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                        fields.close |= option.eq_ignore_ascii_case(b"close");
                        fields.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                    }
                }
                13 if is(header, "if-none-match") => fields.if_none_match = true,
                14 if is(header, "content-length") => {
                    // Whoever passed this on may have believed the other one.
                    if fields.content_length.is_some() {
                        return Err(status::BAD_REQUEST);
                    }
                    fields.content_length = Some(content_length(value).ok_or(status::BAD_REQUEST)?);
                }
                17 if is(header, "transfer-encoding") => {
                    transfer_encoding = Some(value.eq_ignore_ascii_case(b"chunked"));
                }
                17 if is(header, "if-modified-since") => fields.modified_since = date::parse(value),
                _ => {}
            }
        }
        match transfer_encoding {
            // Both lengths, or one that HTTP/1.0 does not know: someone is being smuggled past.
            Some(_) if http_1_0 || fields.content_length.is_some() => Err(status::BAD_REQUEST),
            Some(true) => Err(status::LENGTH_REQUIRED),
            Some(false) => Err(status::NOT_IMPLEMENTED),
            None if !fields.host && !http_1_0 => Err(status::BAD_REQUEST),
            None => Ok(fields),
        }
    }
}

fn is(header: &httparse::Header<'_>, name: &str) -> bool {
    header.name.eq_ignore_ascii_case(name)
}

/// Nothing in it that ends a host and port, or hides another one. It may be empty.
fn is_host(value: &[u8]) -> bool {
    value.iter().all(|&byte| byte.is_ascii_graphic() && !b"/?#@\\,".contains(&byte))
}

fn content_length(value: &[u8]) -> Option<u64> {
    // `str::parse` takes a sign, too.
    if !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(value).ok()?.parse().ok()
}
