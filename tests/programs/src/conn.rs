//! What every connection must do, whatever it is made of: golang.org/x/net/nettest's TestConn, its eleven
//! parts restated. Each scenario is run as `NAME KIND`.

use crate::Scenario;
use crate::support::{Random, SETTLE, after, join_all, ms, narrow_pair, pair, past, pattern, waiting};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;
use netpoll::io::{PipeReader, PipeWriter, pipe};
use netpoll::net::{Error, TcpStream, UnixListener, UnixStream};
use netpoll::time::{Instant, sleep};
use netpoll::{JoinHandle, spawn, yield_now};

pub const SCENARIOS: &[Scenario] = &[
    ("conn_basic_io", |words| on(words, &BasicIo)),
    ("conn_ping_pong", |words| on(words, &PingPong)),
    ("conn_racy_read", |words| on(words, &RacyRead)),
    ("conn_racy_write", |words| on(words, &RacyWrite)),
    ("conn_read_timeout", |words| on(words, &ReadTimeout)),
    ("conn_write_timeout", |words| on(words, &WriteTimeout)),
    ("conn_past_timeout", |words| on(words, &PastTimeout)),
    ("conn_present_timeout", |words| on(words, &PresentTimeout)),
    ("conn_future_timeout", |words| on(words, &FutureTimeout)),
    ("conn_close_timeout", |words| on(words, &CloseTimeout)),
    ("conn_concurrent_methods", |words| on(words, &ConcurrentMethods)),
];

/// One end of a connection.
trait Conn: Send + Sync + 'static {
    fn read(&self, buf: &mut [u8]) -> Result<usize, Error>;
    fn write(&self, buf: &[u8]) -> Result<usize, Error>;
    fn set_read_deadline(&self, at: Option<Instant>) -> Result<(), Error>;
    fn set_write_deadline(&self, at: Option<Instant>) -> Result<(), Error>;
    fn close(&self) -> Result<(), Error>;

    fn set_deadline(&self, at: Option<Instant>) -> Result<(), Error> {
        self.set_read_deadline(at)?;
        self.set_write_deadline(at)
    }

    fn write_all(&self, mut buf: &[u8]) -> Result<(), Error> {
        while !buf.is_empty() {
            buf = &buf[self.write(buf)?..];
        }
        Ok(())
    }

    fn read_exact(&self, buf: &mut [u8]) -> Result<(), Error> {
        let mut at = 0;
        while at < buf.len() {
            match self.read(&mut buf[at..])? {
                0 => return Err(Error::UnexpectedEof),
                n => at += n,
            }
        }
        Ok(())
    }
}

/// One end of two pipes.
struct Duplex(PipeReader, PipeWriter);

macro_rules! conn {
    ($($ty:ty: $self:ident => $reader:expr, $writer:expr, $close:expr;)*) => {$(
        impl Conn for $ty {
            fn read(&$self, buf: &mut [u8]) -> Result<usize, Error> {
                $reader.read(buf)
            }
            fn write(&$self, buf: &[u8]) -> Result<usize, Error> {
                $writer.write(buf)
            }
            fn set_read_deadline(&$self, at: Option<Instant>) -> Result<(), Error> {
                $reader.set_read_deadline(at)
            }
            fn set_write_deadline(&$self, at: Option<Instant>) -> Result<(), Error> {
                $writer.set_write_deadline(at)
            }
            fn close(&$self) -> Result<(), Error> {
                $close
            }
        }
    )*};
}

conn! {
    TcpStream: self => self, self, TcpStream::close(self);
    UnixStream: self => self, self, UnixStream::close(self);
    Duplex: self => self.0, self.1, self.0.close().and(self.1.close());
}

/// What is tried on a pair of connected ends.
trait Trial {
    /// The ends, where they are of TCP.
    fn tcp(&self) -> (TcpStream, TcpStream) {
        pair()
    }

    fn run<C: Conn>(&self, c1: &Arc<C>, c2: &Arc<C>);
}

fn on(words: &[&str], trial: &impl Trial) {
    fn run<C: Conn>(trial: &impl Trial, (c1, c2): (C, C)) {
        let (c1, c2) = (Arc::new(c1), Arc::new(c2));
        trial.run(&c1, &c2);
        for end in [c1, c2] {
            // The trial may have closed it.
            assert!([Ok(()), Err(Error::Closed)].contains(&end.close()));
            assert_eq!(end.close(), Err(Error::Closed));
        }
    }
    match words {
        ["tcp"] => run(trial, trial.tcp()),
        ["unix"] => run(trial, UnixStream::pair().unwrap()),
        ["unix-listener"] => {
            let name = crate::unix::name("conn");
            let listener = UnixListener::bind_addr(&name).unwrap();
            let near = UnixStream::connect_addr(&name).unwrap();
            run(trial, (near, listener.accept().unwrap().0));
        }
        ["pipe"] => {
            let ((r1, w1), (r2, w2)) = (pipe().unwrap(), pipe().unwrap());
            run(trial, (Duplex(r1, w2), Duplex(r2, w1)));
        }
        _ => panic!("no kind {words:?}"),
    }
}

fn task<C: Conn, T: Send + 'static>(c: &Arc<C>, f: impl FnOnce(&C) -> T + Send + 'static) -> JoinHandle<T> {
    let c = c.clone();
    spawn(move || f(&c))
}

/// As above, and by now it waits.
fn waits<C: Conn, T: Send + 'static>(c: &Arc<C>, f: impl FnOnce(&C) -> T + Send + 'static) -> JoinHandle<T> {
    let c = c.clone();
    waiting(move || f(&c))
}

/// Sends everything back until the end or the close.
fn echo(c: &impl Conn) {
    let mut buf = [0; 1024];
    while let Ok(n @ 1..) = c.read(&mut buf) {
        if c.write_all(&buf[..n]).is_err() {
            return;
        }
    }
}

/// Reads and drops until the end or an error.
fn drain(c: &impl Conn) {
    let mut buf = [0; 4096];
    while let Ok(1..) = c.read(&mut buf) {}
}

/// A question and its answer; answers to earlier questions, which timed out, are passed over.
fn round_trip(c: &impl Conn) {
    c.set_deadline(None).unwrap();
    const MARK: [u8; 9] = *b"\xffround-tr";
    c.write_all(&MARK).unwrap();
    let mut seen = [0; MARK.len()];
    while seen != MARK {
        seen.copy_within(1.., 0);
        c.read_exact(&mut seen[MARK.len() - 1..]).unwrap();
    }
}

/// Bytes arrive in order, in both directions, and then the end.
struct BasicIo;
impl Trial for BasicIo {
    fn run<C: Conn>(&self, c1: &Arc<C>, c2: &Arc<C>) {
        const LEN: usize = 1 << 20;
        let want: Vec<u8> = (0..LEN).map(pattern).collect();
        let back = task(c2, |c2| {
            let mut bytes = vec![0; LEN];
            c2.read_exact(&mut bytes).unwrap();
            for part in bytes.chunks(10_000) {
                c2.write_all(part).unwrap();
            }
            c2.close().unwrap();
        });
        let sent = want.clone();
        let writer = task(c1, move |c1| sent.chunks(7000).for_each(|part| c1.write_all(part).unwrap()));
        let mut got = vec![0; LEN];
        c1.read_exact(&mut got).unwrap();
        assert!(got == want);
        assert_eq!(c1.read(&mut [0]), Ok(0));
        back.join();
        writer.join();
    }
}

/// A number goes to and fro, one higher each time.
struct PingPong;
impl Trial for PingPong {
    fn run<C: Conn>(&self, c1: &Arc<C>, c2: &Arc<C>) {
        fn player(c: &impl Conn) -> u64 {
            let mut buf = [0; 8];
            let mut last = 0;
            while c.read_exact(&mut buf).is_ok() {
                let n = u64::from_ne_bytes(buf);
                assert!(n == 0 || last == 0 || n == last + 1, "{n} behind {last}");
                last = n + 1;
                if last >= 1000 {
                    let _ = c.write_all(&last.to_ne_bytes());
                    break;
                }
                if c.write_all(&last.to_ne_bytes()).is_err() {
                    break;
                }
            }
            last
        }
        let players = [task(c1, player), task(c2, player)];
        c1.write_all(&0u64.to_ne_bytes()).unwrap();
        let ends = join_all(players);
        assert!(ends.iter().any(|&n| n >= 1000), "{ends:?}");
    }
}

/// Ten tasks make ten transfers each with deadlines of a millisecond; what comes too late gets a new one.
fn transfer_in_time<C: Conn>(
    c: &Arc<C>,
    set_deadline: fn(&C, Option<Instant>) -> Result<(), Error>,
    transfer: fn(&C) -> Result<(), Error>,
) {
    let tasks: Vec<_> = (0..10)
        .map(|_| {
            task(c, move |c| {
                set_deadline(c, Some(after(ms(1)))).unwrap();
                for _ in 0..10 {
                    if let Err(e) = transfer(c) {
                        assert_eq!(e, Error::TimedOut);
                        set_deadline(c, Some(after(ms(1)))).unwrap();
                    }
                }
            })
        })
        .collect();
    join_all(tasks);
}

/// Ten readers with deadlines, against a writer.
struct RacyRead;
impl Trial for RacyRead {
    fn run<C: Conn>(&self, c1: &Arc<C>, c2: &Arc<C>) {
        let writer = task(c2, |c2| while c2.write(&[7; 1024]).is_ok() {});
        transfer_in_time(c1, C::set_read_deadline, |c1| {
            let mut buf = [0; 1024];
            let n = c1.read(&mut buf)?;
            assert!(buf[..n].iter().all(|&byte| byte == 7));
            Ok(())
        });
        c1.close().unwrap();
        c2.close().unwrap();
        writer.join();
    }
}

/// As above, the other way round.
struct RacyWrite;
impl Trial for RacyWrite {
    fn run<C: Conn>(&self, c1: &Arc<C>, c2: &Arc<C>) {
        let reader = task(c2, drain);
        transfer_in_time(c1, C::set_write_deadline, |c1| {
            assert!(c1.write(&[1; 1024])? > 0);
            Ok(())
        });
        c1.close().unwrap();
        reader.join();
    }
}

/// A read that times out leaves writes alone.
struct ReadTimeout;
impl Trial for ReadTimeout {
    fn run<C: Conn>(&self, c1: &Arc<C>, c2: &Arc<C>) {
        let peer = task(c2, drain);
        c1.set_read_deadline(Some(past())).unwrap();
        assert_eq!(c1.read(&mut [0; 1024]), Err(Error::TimedOut));
        c1.write_all(&[0; 1024]).unwrap();
        c1.close().unwrap();
        peer.join();
    }
}

/// A write that times out leaves reads alone.
struct WriteTimeout;
impl Trial for WriteTimeout {
    fn run<C: Conn>(&self, c1: &Arc<C>, c2: &Arc<C>) {
        let peer = task(c2, |c2| c2.write_all(&[3; 1024]).unwrap());
        c1.set_write_deadline(Some(past())).unwrap();
        assert_eq!(c1.write(&[0; 1024]), Err(Error::TimedOut));
        c1.read_exact(&mut [0; 1024]).unwrap();
        peer.join();
    }
}

/// A deadline in the past fails everything, and can be taken back.
struct PastTimeout;
impl Trial for PastTimeout {
    fn run<C: Conn>(&self, c1: &Arc<C>, c2: &Arc<C>) {
        let peer = task(c2, echo);
        round_trip(&**c1);
        c1.set_deadline(Some(past())).unwrap();
        for _ in 0..2 {
            assert_eq!(c1.write(&[0; 1024]), Err(Error::TimedOut));
            assert_eq!(c1.read(&mut [0; 1024]), Err(Error::TimedOut));
        }
        round_trip(&**c1);
        c1.close().unwrap();
        peer.join();
    }
}

/// A deadline that is set now ends what waits.
struct PresentTimeout;
impl Trial for PresentTimeout {
    fn tcp(&self) -> (TcpStream, TcpStream) {
        narrow_pair()
    }

    fn run<C: Conn>(&self, c1: &Arc<C>, _c2: &Arc<C>) {
        let reader = waits(c1, |c1| c1.read(&mut [0; 1024]));
        let writer = waits(c1, |c1| {
            loop {
                if let Err(e) = c1.write(&[0; 1024]) {
                    return e;
                }
            }
        });
        sleep(SETTLE);
        c1.set_deadline(Some(Instant::now())).unwrap();
        assert_eq!((reader.join(), writer.join()), (Err(Error::TimedOut), Error::TimedOut));
    }
}

/// A deadline to come ends what waits then, and can be taken back.
struct FutureTimeout;
impl Trial for FutureTimeout {
    fn tcp(&self) -> (TcpStream, TcpStream) {
        narrow_pair()
    }

    fn run<C: Conn>(&self, c1: &Arc<C>, c2: &Arc<C>) {
        let start = Instant::now();
        c1.set_deadline(Some(start + ms(100))).unwrap();
        let reader = task(c1, |c1| c1.read(&mut [0; 1024]));
        let writer = task(c1, |c1| {
            loop {
                if let Err(e) = c1.write(&[0; 1024]) {
                    return e;
                }
            }
        });
        assert_eq!((reader.join(), writer.join()), (Err(Error::TimedOut), Error::TimedOut));
        assert!(start.elapsed() >= ms(100), "early");
        let peer = task(c2, echo);
        let other = task(c1, |c1| c1.set_deadline(None));
        other.join().unwrap();
        round_trip(&**c1);
        c1.close().unwrap();
        peer.join();
    }
}

/// A close ends what waits, whatever deadlines there are.
struct CloseTimeout;
impl Trial for CloseTimeout {
    fn tcp(&self) -> (TcpStream, TcpStream) {
        narrow_pair()
    }

    fn run<C: Conn>(&self, c1: &Arc<C>, c2: &Arc<C>) {
        let _ = c2;
        c1.set_deadline(Some(after(Duration::from_secs(10_000)))).unwrap();
        let reader = waits(c1, |c1| c1.read(&mut [0; 1024]));
        let writer = waits(c1, |c1| {
            loop {
                if let Err(e) = c1.write(&[0; 1024]) {
                    return e;
                }
            }
        });
        sleep(SETTLE);
        c1.close().unwrap();
        assert_eq!((reader.join(), writer.join()), (Err(Error::Closed), Error::Closed));
        assert_eq!(c1.set_deadline(None), Err(Error::Closed));
    }
}

/// Every method from many tasks at once.
struct ConcurrentMethods;
impl Trial for ConcurrentMethods {
    fn run<C: Conn>(&self, c1: &Arc<C>, c2: &Arc<C>) {
        let peer = task(c2, echo);
        let tasks: Vec<_> = (0..100)
            .map(|me: u64| {
                task(c1, move |c1| {
                    let random = Random::new(me + 1);
                    for _ in 0..7 {
                        let soon = Some(after(Duration::from_micros(random.below(3000))));
                        match random.below(5) {
                            0 => drop(c1.read(&mut [0; 1024])),
                            1 => drop(c1.write(&[0; 1024])),
                            2 => c1.set_deadline(soon).unwrap(),
                            3 => c1.set_read_deadline(soon).unwrap(),
                            _ => c1.set_write_deadline(soon).unwrap(),
                        }
                        yield_now();
                    }
                })
            })
            .collect();
        // Those that wait without a deadline, because it was set before they came, get one.
        sleep(ms(10));
        c1.set_deadline(Some(Instant::now())).unwrap();
        join_all(tasks);
        c1.close().unwrap();
        peer.join();
    }
}
