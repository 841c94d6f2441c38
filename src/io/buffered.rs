//! Buffers in front of streams. The memory is the caller's: an array, `&mut [u8]`, a `Vec`.

use embedded_io::{BufRead, ErrorType, Read, Write};

/// Reads from `R` in large pieces, and hands out small ones.
///
/// ```ignore
/// let mut lines = BufReader::new(&stream, [0; 4096]);
/// let line = lines.read_until(b'\n')?;
/// ```
#[derive(Debug)]
pub struct BufReader<R, B> {
    inner: R,
    buf: B,
    /// What has been read and not handed out: `start..end`.
    start: usize,
    end: usize,
}

impl<R: Read, B: AsRef<[u8]> + AsMut<[u8]>> BufReader<R, B> {
    /// A reader with nothing in its buffer.
    ///
    /// # Panics
    /// If `buf` is empty.
    pub fn new(inner: R, buf: B) -> BufReader<R, B> {
        assert!(!buf.as_ref().is_empty(), "a buffer without room");
        BufReader { inner, buf, start: 0, end: 0 }
    }

    /// What has been read and not handed out.
    pub fn buffer(&self) -> &[u8] {
        self.buf.as_ref().get(self.start..self.end).unwrap_or_default()
    }

    /// The reader behind the buffer.
    pub fn get_ref(&self) -> &R {
        &self.inner
    }

    /// The reader behind the buffer. What is read past the buffer comes before what is in it.
    pub fn get_mut(&mut self) -> &mut R {
        &mut self.inner
    }

    /// The reader; what is in the buffer is lost.
    pub fn into_inner(self) -> R {
        self.inner
    }

    /// The bytes up to the first `delimiter`, which is the last of them. Without one: all that fits into the
    /// buffer, or what is left before the end, which is nothing at the end.
    ///
    /// # Errors
    /// The reader's; what came before it stays in the buffer.
    pub fn read_until(&mut self, delimiter: u8) -> Result<&[u8], R::Error> {
        let mut seen = 0;
        let len = loop {
            let ready = self.buffer();
            let found = ready.get(seen..).and_then(|new| new.iter().position(|&byte| byte == delimiter));
            if let Some(at) = found {
                break seen + at + 1;
            }
            seen = ready.len();
            if seen == self.buf.as_ref().len() || self.read_more()? == 0 {
                break seen;
            }
        };
        let start = self.start;
        self.consume(len);
        Ok(self.buf.as_ref().get(start..start + len).unwrap_or_default())
    }

    /// Reads behind what is there, which is moved to the front if it has to be; returns how much came.
    fn read_more(&mut self) -> Result<usize, R::Error> {
        let buf = self.buf.as_mut();
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == buf.len() {
            buf.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let n = self.inner.read(buf.get_mut(self.end..).unwrap_or_default())?;
        self.end += n;
        Ok(n)
    }
}

impl<R: ErrorType, B> ErrorType for BufReader<R, B> {
    type Error = R::Error;
}

impl<R: Read, B: AsRef<[u8]> + AsMut<[u8]>> Read for BufReader<R, B> {
    /// What is in the buffer. If nothing is, a read that would fill it goes past it.
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, R::Error> {
        if buf.is_empty() {
            return Ok(0);
        }
        if self.start == self.end && buf.len() >= self.buf.as_ref().len() {
            return self.inner.read(buf);
        }
        let ready = self.fill_buf()?;
        let n = ready.len().min(buf.len());
        buf[..n].copy_from_slice(&ready[..n]);
        self.consume(n);
        Ok(n)
    }
}

impl<R: Read, B: AsRef<[u8]> + AsMut<[u8]>> BufRead for BufReader<R, B> {
    fn fill_buf(&mut self) -> Result<&[u8], R::Error> {
        if self.start == self.end {
            self.read_more()?;
        }
        Ok(self.buffer())
    }

    fn consume(&mut self, n: usize) {
        self.start = self.end.min(self.start + n);
    }
}

/// Collects small writes, and hands them to `W` in large pieces.
///
/// Dropping it writes what is left, and nobody hears of an error: [`BufWriter::into_inner`] and `flush` tell.
#[derive(Debug)]
pub struct BufWriter<W: Write, B: AsRef<[u8]>> {
    /// `None` behind `into_inner`.
    inner: Option<W>,
    buf: B,
    /// How much of the buffer is waiting.
    len: usize,
}

impl<W: Write, B: AsRef<[u8]> + AsMut<[u8]>> BufWriter<W, B> {
    /// A writer with nothing in its buffer.
    pub fn new(inner: W, buf: B) -> BufWriter<W, B> {
        BufWriter { inner: Some(inner), buf, len: 0 }
    }

    /// The writer, once what is in the buffer has been written.
    ///
    /// # Errors
    /// The writer's. It is dropped then, and what had not been written is lost.
    pub fn into_inner(mut self) -> Result<W, W::Error> {
        let written = self.write_out();
        let inner = self.inner.take();
        written?;
        Ok(inner.expect("taken by `into_inner` only"))
    }
}

impl<W: Write, B: AsRef<[u8]>> BufWriter<W, B> {
    /// What waits to be written.
    pub fn buffer(&self) -> &[u8] {
        self.buf.as_ref().get(..self.len).unwrap_or_default()
    }

    /// The writer behind the buffer.
    pub fn get_ref(&self) -> &W {
        self.inner.as_ref().expect("taken by `into_inner` only")
    }

    /// Writes what is in the buffer. Of an error nothing is tried twice: the buffer is empty either way.
    fn write_out(&mut self) -> Result<(), W::Error> {
        let len = core::mem::take(&mut self.len);
        match (&mut self.inner, self.buf.as_ref().get(..len)) {
            (Some(inner), Some(bytes)) if len > 0 => inner.write_all(bytes),
            _ => Ok(()),
        }
    }
}

impl<W: Write, B: AsRef<[u8]>> ErrorType for BufWriter<W, B> {
    type Error = W::Error;
}

impl<W: Write, B: AsRef<[u8]> + AsMut<[u8]>> Write for BufWriter<W, B> {
    /// Into the buffer, if that has room; else the buffer is written first. What would fill it goes past it.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, W::Error> {
        let size = self.buf.as_ref().len();
        if bytes.len() > size - self.len {
            self.write_out()?;
        }
        if bytes.len() >= size
            && let Some(inner) = &mut self.inner
        {
            return inner.write(bytes);
        }
        self.buf.as_mut()[self.len..][..bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), W::Error> {
        self.write_out()?;
        self.inner.as_mut().map_or(Ok(()), |inner| inner.flush())
    }
}

impl<W: Write, B: AsRef<[u8]>> Drop for BufWriter<W, B> {
    fn drop(&mut self) {
        let _ = self.write_out();
    }
}
