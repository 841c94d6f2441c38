//! What a request is answered with.

use core::ffi::CStr;
use core::mem;

use netpoll::net::Error;
use netpoll::sys::Errno;
use netpoll::sys::fs::Stat;

use super::clock::{DateText, Moment};
use super::connection::Site;
use super::files::File;
use super::listing::{self, Scratch};
use super::output::Output;
use super::request::{IfRange, Method, Request};
use super::text::{percent_decode, percent_encode};
use super::{date, mime, status};

/// What a directory shows instead of its names.
const INDEX: &[u8] = b"index.html\0";

/// Everything an answer depends on.
pub struct Exchange<'a> {
    pub site: &'a Site,
    /// Its path becomes the decoded one.
    pub request: &'a mut Request,
    /// The request's head, in which the path is decoded.
    pub head: &'a mut [u8],
    /// When the request was read.
    pub now: Moment,
    pub date: &'a mut DateText,
}

impl Exchange<'_> {
    /// Answers.
    ///
    /// # Errors
    /// Those of the connection, after which it is of no more use: also when a file turns out shorter than
    /// was announced.
    pub fn answer(&mut self, out: &mut Output<'_>) -> Result<(), Error> {
        let path = Path::decode(self.head, self.request);
        if self.request.method == Method::Other {
            self.begin(out, status::METHOD_NOT_ALLOWED);
            out.header(b"Allow: ", b"GET, HEAD");
            return out.end_with_status();
        }
        let Some(path) = path else { return self.fail(out, status::BAD_REQUEST) };
        if self.is_plain(out)
            && let Some(kept) = self.site.cache.get(path.bytes(self.head), self.now)
        {
            return out.send_kept(&kept);
        }
        match self.open(&path) {
            Ok((file, stat)) if stat.is_file() => self.send_file(out, &path, &file, &stat),
            Ok((dir, stat)) if stat.is_dir() && path.is_slash_form => self.list(out, &path, &dir),
            Ok((_, stat)) if stat.is_dir() => self.redirect(out, &path),
            Ok(_) => self.fail(out, status::FORBIDDEN),
            Err(errno) => self.fail(out, status_of(errno)),
        }
    }

    /// Whether the answer to this request is the same for all: of a file it is the whole, on a connection that
    /// goes on.
    fn is_plain(&self, out: &Output<'_>) -> bool {
        let request = &*self.request;
        request.method == Method::Get
            && out.keep_alive
            && !out.http_1_0
            && request.range.is_none()
            && request.modified_since.is_none()
    }

    fn begin(&mut self, out: &mut Output<'_>, status: &'static str) {
        out.begin(status, self.date.at(self.now.unix));
    }

    fn fail(&mut self, out: &mut Output<'_>, status: &'static str) -> Result<(), Error> {
        self.begin(out, status);
        out.end_with_status()
    }

    fn open(&mut self, path: &Path) -> Result<(File, Stat), Errno> {
        if path.is_slash_form {
            match self.site.root.open_and_stat(path.with_index(self.head)) {
                Err(Errno::ENOENT) => {}
                Ok((_, stat)) if stat.is_dir() => {}
                done => return done,
            }
        }
        self.site.root.open_and_stat(path.name(self.head))
    }

    fn send_file(
        &mut self,
        out: &mut Output<'_>,
        path: &Path,
        file: &File,
        stat: &Stat,
    ) -> Result<(), Error> {
        // A time to come would make the client keep what it has until then (RFC 9110, 8.8.2.1).
        let modified = stat.mtime().secs.min(self.now.unix);
        let request = &*self.request;
        if request.modified_since.is_some_and(|since| modified <= since) {
            self.begin(out, status::NOT_MODIFIED);
            out.header(b"Last-Modified: ", &date::format(modified));
            return out.end();
        }

        let size = stat.size();
        let applies = match request.if_range {
            IfRange::Always => request.method == Method::Get,
            IfRange::Unchanged(since) => request.method == Method::Get && since == modified,
            IfRange::Never => false,
        };
        let (offset, len) = match request.range.filter(|_| applies) {
            None => {
                self.begin(out, status::OK);
                (0, size)
            }
            Some(range) => match range.of(size) {
                Some((offset, len)) => {
                    self.begin(out, status::PARTIAL_CONTENT);
                    out.put(b"Content-Range: bytes ");
                    out.put_number(offset);
                    out.put(b"-");
                    out.put_number(offset + len - 1);
                    out.put(b"/");
                    out.put_number(size);
                    out.put(b"\r\n");
                    (offset, len)
                }
                None => {
                    self.begin(out, status::RANGE);
                    out.number_header(b"Content-Range: bytes */", size);
                    return out.end_with_status();
                }
            },
        };
        let content_type = match path.is_slash_form {
            true => mime::content_type(INDEX.strip_suffix(b"\0").unwrap_or(INDEX)),
            false => mime::content_type(path.bytes(self.head)),
        };
        out.header(b"Content-Type: ", content_type.as_bytes());
        out.number_header(b"Content-Length: ", len);
        out.header(b"Last-Modified: ", &date::format(modified));
        out.header(b"Accept-Ranges: ", b"bytes");
        if self.is_plain(out) {
            let (cache, path) = (self.site.cache, path.bytes(self.head));
            cache.put(path, self.now, |place| out.copy_with_file(file, size, place));
            if let Some(kept) = cache.get(path, self.now) {
                return out.send_kept(&kept);
            }
        }
        out.end_with_file(file, offset, len)
    }

    fn list(&mut self, out: &mut Output<'_>, path: &Path, dir: &File) -> Result<(), Error> {
        let Ok(scratch) = Scratch::map() else { return self.fail(out, status::UNAVAILABLE) };
        out.keep_alive &= !out.http_1_0; // the end of the connection is the end of the page
        self.begin(out, status::OK);
        out.header(b"Content-Type: ", b"text/html; charset=utf-8");
        if out.head_only {
            return out.end();
        }
        out.begin_body();
        listing::write(out, dir, scratch, path.bytes(self.head));
        out.end_body()
    }

    /// To the same path with a slash, without which the links of the page would point elsewhere. One slash
    /// leads it, always: two would name another host.
    fn redirect(&mut self, out: &mut Output<'_>, path: &Path) -> Result<(), Error> {
        self.begin(out, status::MOVED);
        out.put(b"Location: /");
        percent_encode(path.bytes(self.head), |piece| out.put(piece));
        // The `?` may have become the path's zero byte (`Path::name`).
        let query = self.head[self.request.query.clone()].get(1..);
        out.put(if query.is_some() { b"/?" } else { b"/" });
        out.header(b"", query.unwrap_or_default());
        out.end_with_status()
    }
}

/// Where in the head the decoded path is, without the slashes that lead it.
struct Path {
    start: usize,
    end: usize,
    /// It is to be a directory.
    is_slash_form: bool,
}

impl Path {
    /// `None` for a path that cannot be decoded.
    fn decode(head: &mut [u8], request: &mut Request) -> Option<Path> {
        let start = request.path.start;
        let path = &mut head[mem::replace(&mut request.path, 0..0)];
        let len = percent_decode(path)?;
        let path = &path[..len];
        request.path = start..start + len;
        let slashes = path.iter().take_while(|&&byte| byte == b'/').count();
        Some(Path {
            start: start + slashes,
            end: start + len,
            is_slash_form: path.last().is_none_or(|&byte| byte == b'/'),
        })
    }

    fn bytes<'h>(&self, head: &'h [u8]) -> &'h [u8] {
        &head[self.start..self.end]
    }

    /// The path for the kernel. The byte behind it, which becomes zero, is part of the head: a `?`, the
    /// space before the version, or left over from decoding.
    fn name<'h>(&self, head: &'h mut [u8]) -> &'h CStr {
        if self.start == self.end {
            return c".";
        }
        head[self.end] = 0;
        CStr::from_bytes_until_nul(&head[self.start..]).unwrap_or(c".")
    }

    /// As [`Path::name`], of the index in the directory. It covers what is behind the target: a space, the
    /// version and two line ends are 11 bytes at least, just enough.
    fn with_index<'h>(&self, head: &'h mut [u8]) -> &'h CStr {
        const { assert!(INDEX.len() <= b" HTTP/1.1\n\n".len()) };
        head[self.end..self.end + INDEX.len()].copy_from_slice(INDEX);
        CStr::from_bytes_until_nul(&head[self.start..]).unwrap_or(c".")
    }
}

/// What a file that cannot be opened is answered with.
fn status_of(errno: Errno) -> &'static str {
    match errno {
        Errno::ENOENT | Errno::ENOTDIR | Errno::ENAMETOOLONG => status::NOT_FOUND,
        // Outside the root, a link not to be followed, not readable, a socket or a device of nobody's.
        Errno::EXDEV | Errno::ELOOP | Errno::EACCES | Errno::EPERM | Errno::ENXIO | Errno::ENODEV => {
            status::FORBIDDEN
        }
        Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::EAGAIN => status::UNAVAILABLE,
        _ => status::INTERNAL,
    }
}
