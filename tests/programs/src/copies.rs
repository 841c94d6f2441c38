//! Copying inside the kernel, and buffers.

use crate::Scenario;
use crate::support::{
    LOTS, SETTLE, after, close, descriptors, errno, limit, ms, narrow_pair, pair, past, pattern,
    receive_pattern, send_pattern, waiting,
};
use crate::unix::Path;
use alloc::vec::Vec;
use core::convert::Infallible;
use netpoll::io::{
    BufRead, BufReader, BufWriter, CopyError, CopyFrom, ErrorType, PollFd, Read, Write, copy, copy_counted,
    copy_through, pipe,
};
use netpoll::net::{Error, Shutdown, UnixStream};
use netpoll::sys::fd::{OFlags, dup};
use netpoll::sys::process::Resource;
use netpoll::sys::{Call, Errno};
use netpoll::time::sleep;
use netpoll::{eprintln, spawn};

pub const SCENARIOS: &[Scenario] = &[
    ("copy_every_kind", every_kind),
    ("copy_to_what_appends", appends),
    ("copy_of_what_cannot_be_spliced", unspliceable),
    ("copy_without_descriptors", without_descriptors),
    ("copy_beside_closed_streams", beside_closed_streams),
    ("copy_ends_with_a_deadline", deadlines),
    ("copy_ends_with_a_close", closes),
    ("copy_tells_the_side", sides),
    ("copy_through_memory", through),
    ("buffered_reads", reads),
    ("buffered_lines", lines),
    ("buffered_writes", writes),
];

const LEN: usize = 300_000;

/// What is printed to a stream that is closed comes into no copy.
fn beside_closed_streams(_: &[&str]) {
    let ((near, from), (to, far)) = (pair(), pair());
    close(0).unwrap();
    close(2).unwrap();
    let copying = waiting(move || copy(&from, &to));
    eprintln!("no part of it");
    near.write_all(b"whole").unwrap();
    near.shutdown(Shutdown::Write).unwrap();
    assert_eq!(copying.join(), Ok(5));
    let mut got = [0; 5];
    far.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"whole");
}

/// Copies `LEN` bytes of the pattern from whatever `make` makes of a writing end to each kind of sink.
fn every_kind(_: &[&str]) {
    drop((pair(), pipe().unwrap()));
    let before = descriptors();
    for source in 0..4 {
        for sink in 0..4 {
            let from_path = Path::new("source");
            match source {
                0 => {
                    let (near, far) = pair();
                    let writer = spawn(move || send_pattern(&near, LEN, 7001));
                    to_kind(&far, sink);
                    writer.join();
                }
                1 => {
                    let (near, far) = UnixStream::pair().unwrap();
                    let writer = spawn(move || send_pattern(&near, LEN, 7001));
                    to_kind(&far, sink);
                    writer.join();
                }
                2 => {
                    let (reader, writer) = pipe().unwrap();
                    let writer = spawn(move || send_pattern(&writer, LEN, 7001));
                    to_kind(&reader, sink);
                    writer.join();
                }
                _ => {
                    let flags = OFlags::WRONLY | OFlags::CREAT;
                    let file = PollFd::open(from_path.c_str(), flags, 0o600).unwrap();
                    send_pattern(&file, LEN, 7001);
                    to_kind(&PollFd::open(from_path.c_str(), OFlags::empty(), 0).unwrap(), sink);
                }
            }
        }
    }
    assert_eq!(descriptors(), before);
}

fn to_kind(from: &impl CopyFrom, sink: u32) {
    let path = Path::new("sink");
    match sink {
        0 => {
            let (near, far) = pair();
            let reader = spawn(move || receive_pattern(&far, usize::MAX, 5003));
            assert_eq!(copy(from, &near), Ok(LEN as u64));
            near.shutdown(Shutdown::Write).unwrap();
            assert_eq!(reader.join(), LEN);
        }
        1 => {
            let (near, far) = UnixStream::pair().unwrap();
            let reader = spawn(move || receive_pattern(&far, usize::MAX, 5003));
            assert_eq!(copy(from, &near), Ok(LEN as u64));
            near.shutdown(Shutdown::Write).unwrap();
            assert_eq!(reader.join(), LEN);
        }
        2 => {
            let (reader, writer) = pipe().unwrap();
            let reader = spawn(move || receive_pattern(&reader, usize::MAX, 5003));
            assert_eq!(copy(from, &writer), Ok(LEN as u64));
            drop(writer);
            assert_eq!(reader.join(), LEN);
        }
        _ => {
            let file = PollFd::open(path.c_str(), OFlags::WRONLY | OFlags::CREAT, 0o600).unwrap();
            assert_eq!(copy(from, &file), Ok(LEN as u64));
            let file = PollFd::open(path.c_str(), OFlags::empty(), 0).unwrap();
            assert_eq!(receive_pattern(&file, usize::MAX, 5003), LEN);
        }
    }
}

/// Splice does not write to such a file: what it has read already is not lost.
fn appends(_: &[&str]) {
    let path = Path::new("append");
    let flags = OFlags::WRONLY | OFlags::CREAT | OFlags::APPEND;
    let file = PollFd::open(path.c_str(), flags, 0o600).unwrap();
    let (near, far) = pair();
    let writer = spawn(move || send_pattern(&near, LEN, 7001));
    let mut pieces = 0;
    assert_eq!(copy_counted(&far, &file, |n| pieces += n), Ok(()));
    assert_eq!(pieces, LEN);
    writer.join();
    let file = PollFd::open(path.c_str(), OFlags::empty(), 0).unwrap();
    assert_eq!(receive_pattern(&file, usize::MAX, 5003), LEN);
}

fn unspliceable(_: &[&str]) {
    let file = PollFd::open(c"/proc/self/cmdline", OFlags::empty(), 0).unwrap();
    let (near, far) = pair();
    let n = copy(&file, &near).unwrap();
    assert!(n > 30, "{n}");
    far.read_exact(&mut [0; 30]).unwrap();
}

fn without_descriptors(_: &[&str]) {
    let ((a, b), (c, d)) = (pair(), pair());
    let old = limit(Resource::Nofile, descriptors() as u64 + 20);
    let mut taken = Vec::new();
    while let Ok(fd) = dup(0) {
        taken.push(fd);
    }
    let writer = spawn(move || send_pattern(&a, LEN, 7001));
    let copier = spawn(move || copy(&b, &c));
    assert_eq!(receive_pattern(&d, usize::MAX, 5003), LEN);
    assert_eq!(copier.join(), Ok(LEN as u64));
    writer.join();
    taken.into_iter().for_each(|fd| close(fd).unwrap());
    limit(Resource::Nofile, old);
}

fn deadlines(_: &[&str]) {
    drop(pair());
    let before = descriptors();
    {
        let ((a, b), (c, d)) = (pair(), narrow_pair());
        a.write_all(b"some").unwrap();
        b.set_read_deadline(Some(after(ms(20)))).unwrap();
        assert_eq!(copy_counted(&b, &c, drop), Err(CopyError::Read(Error::TimedOut)));
        d.read_exact(&mut [0; 4]).unwrap();
        b.set_read_deadline(None).unwrap();
        // It goes on where it was.
        a.write_all(b"more").unwrap();
        b.set_read_timeout(Some(ms(10))).unwrap();
        assert_eq!(copy(&b, &c), Err(Error::TimedOut));
        d.read_exact(&mut [0; 4]).unwrap();
        b.set_read_timeout(None).unwrap();
        // A destination that takes nothing.
        let feeder = spawn(move || while a.write(&LOTS).is_ok() {});
        c.set_write_timeout(Some(ms(50))).unwrap();
        assert_eq!(copy_counted(&b, &c, drop), Err(CopyError::Write(Error::TimedOut)));
        drop((b, c, d));
        feeder.join();
    }
    let (a, b) = pair();
    b.set_deadline(Some(past())).unwrap();
    assert_eq!(copy(&b, &a), Err(Error::TimedOut));
    drop((a, b));
    assert_eq!(descriptors(), before);
}

fn closes(_: &[&str]) {
    for which in 0..2 {
        let ((a, b), (c, d)) = (pair(), narrow_pair());
        let other = [b.try_clone().unwrap(), c.try_clone().unwrap()];
        // Nothing to copy, or more than there is room for.
        let feeder = spawn(move || {
            if which == 1 {
                let _ = a.write_all(&LOTS);
            }
            a
        });
        let copier = waiting(move || copy_counted(&b, &c, drop));
        other[which].close().unwrap();
        let sides: [fn(Error) -> CopyError; 2] = [CopyError::Read, CopyError::Write];
        assert_eq!(copier.join(), Err(sides[which](Error::Closed)));
        drop((other, d));
        feeder.join();
    }
}

fn sides(_: &[&str]) {
    let ((a, b), (c, d)) = (pair(), pair());
    a.set_linger(Some(core::time::Duration::ZERO)).unwrap();
    a.write_all(b"last words").unwrap();
    sleep(SETTLE);
    let copier = waiting(move || (copy_counted(&b, &c, drop), c));
    drop(a);
    let reset = Error::Os(Call::Splice, Errno::ECONNRESET);
    let (copied, c) = copier.join();
    assert_eq!(copied, Err(CopyError::Read(reset)));
    d.read_exact(&mut [0; 10]).unwrap();

    d.set_linger(Some(core::time::Duration::ZERO)).unwrap();
    drop(d);
    let (a, b) = pair();
    a.write_all(b"to nobody").unwrap();
    match copy_counted(&b, &c, drop) {
        Err(CopyError::Write(e)) => {
            assert!([Some(Errno::EPIPE), Some(Errno::ECONNRESET)].contains(&e.errno()))
        }
        other => panic!("{other:?}"),
    }
}

fn through(_: &[&str]) {
    let ((a, b), (c, d)) = (pair(), UnixStream::pair().unwrap());
    let writer = spawn(move || send_pattern(&a, LEN, 7001));
    let copier = spawn(move || copy_through(&b, &c, &mut [0; 3000]));
    assert_eq!(receive_pattern(&d, usize::MAX, 5003), LEN);
    assert_eq!(copier.join(), Ok(LEN as u64));
    writer.join();
}

/// Counts what comes through, and hands out no more than `most` at a time.
struct Counting<'a> {
    bytes: &'a [u8],
    most: usize,
    calls: usize,
}

impl ErrorType for Counting<'_> {
    type Error = Infallible;
}

impl Read for Counting<'_> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Infallible> {
        self.calls += 1;
        let n = self.most.min(self.bytes.len()).min(buf.len());
        buf[..n].copy_from_slice(&self.bytes[..n]);
        self.bytes = &self.bytes[n..];
        Ok(n)
    }
}

fn reads(_: &[&str]) {
    let bytes: Vec<u8> = (0..10_000).map(pattern).collect();
    let mut reader = BufReader::new(Counting { bytes: &bytes, most: 1000, calls: 0 }, [0; 256]);
    let mut got: Vec<u8> = Vec::new();
    let mut buf = [0; 37];
    loop {
        match reader.read(&mut buf).unwrap() {
            0 => break,
            n => got.extend(&buf[..n]),
        }
    }
    assert!(got == bytes);
    assert_eq!(reader.get_ref().calls, 10_000usize.div_ceil(256) + 1);
    // What is larger than the buffer goes past it, if that is empty.
    let mut reader = BufReader::new(Counting { bytes: &bytes, most: 1000, calls: 0 }, [0; 8]);
    assert_eq!((reader.read(&mut []), reader.get_ref().calls), (Ok(0), 0)); // and nothing is asked for nothing
    let mut large = [0; 100];
    assert_eq!(reader.read(&mut large), Ok(100));
    assert_eq!(reader.fill_buf().unwrap(), &bytes[100..108]);
    reader.consume(3);
    assert_eq!(reader.read(&mut large), Ok(5));
    assert_eq!(large[..5], bytes[103..108]);
    reader.read_exact(&mut large).unwrap();
    assert_eq!(large[..], bytes[108..208]);
    reader.consume(1000); // no more than there is
    assert_eq!(reader.buffer(), b"");
    assert_eq!(reader.get_mut().read(&mut large), Ok(100));
    assert_eq!(reader.into_inner().bytes, &bytes[308..]);
}

fn lines(_: &[&str]) {
    let text = b"one\n\ntwo three\nlonger than the buffer\nend";
    for most in [1, 2, 5, 100] {
        let mut reader = BufReader::new(Counting { bytes: text, most, calls: 0 }, [0; 16]);
        let parts = ["one\n", "\n", "two three\n", "longer than the ", "buffer\n", "end", "", ""];
        for part in parts {
            assert_eq!(core::str::from_utf8(reader.read_until(b'\n').unwrap()), Ok(part), "{most} at a time");
        }
    }
    // Over a stream.
    let (near, far) = pair();
    let writer = spawn(move || {
        for i in 0..1000u32 {
            near.write_all(&i.to_ne_bytes()[..1]).unwrap();
            near.write_all(b",").unwrap();
        }
    });
    let mut buf = [0; 64];
    let mut reader = BufReader::new(&far, &mut buf[..]);
    for i in 0..1000u32 {
        let part = reader.read_until(b',').unwrap();
        // A 44 is a comma itself.
        assert_eq!(part[0], i as u8);
        if i as u8 == b',' {
            assert_eq!(reader.read_until(b',').unwrap(), b",");
        }
    }
    assert_eq!(reader.read_until(b',').unwrap(), b"");
    writer.join();
}

/// Keeps what is written, and the length of each write.
#[derive(Default)]
struct Log(Vec<u8>, Vec<usize>);

impl ErrorType for Log {
    type Error = netpoll::io::ErrorKind;
}

impl Write for Log {
    fn write(&mut self, buf: &[u8]) -> Result<usize, Self::Error> {
        if buf.contains(&b'!') {
            return Err(netpoll::io::ErrorKind::Other);
        }
        self.0.extend(buf);
        self.1.push(buf.len());
        Ok(buf.len())
    }
    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

fn writes(_: &[&str]) {
    let mut writer = BufWriter::new(Log::default(), [0; 8]);
    for part in ["a", "bc", "", "defgh", "i", "longer than the buffer", "jk"] {
        writer.write_all(part.as_bytes()).unwrap();
    }
    assert_eq!((writer.get_ref().1.as_slice(), writer.buffer()), (&[8, 1, 22][..], &b"jk"[..]));
    writer.flush().unwrap();
    assert_eq!(writer.get_ref().1, [8, 1, 22, 2]);
    writer.write_all(b"l").unwrap();
    let log = writer.into_inner().unwrap();
    assert_eq!(log.0, b"abcdefghilonger than the bufferjkl");
    // Errors are told once, and nothing is written twice.
    let mut writer = BufWriter::new(Log::default(), [0; 8]);
    writer.write_all(b"bad!").unwrap();
    assert!(writer.flush().is_err());
    writer.write_all(b"good").unwrap();
    assert_eq!(writer.into_inner().unwrap().0, b"good");
    // What is dropped has been written.
    let (near, far) = pair();
    let mut writer = BufWriter::new(&near, [0; 100]);
    writer.write_all(b"dropped").unwrap();
    far.set_read_deadline(Some(after(ms(10)))).unwrap();
    assert_eq!(far.read(&mut [0; 8]), Err(Error::TimedOut));
    far.set_read_deadline(None).unwrap();
    drop(writer);
    assert_eq!(far.read(&mut [0; 8]), Ok(7));
    near.shutdown(Shutdown::Write).unwrap();
    let mut writer = BufWriter::new(&near, [0; 100]);
    writer.write_all(b"x").unwrap();
    assert_eq!(errno(writer.into_inner()), Errno::EPIPE);
}
