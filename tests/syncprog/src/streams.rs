//! Streams for the scenarios.

use core::time::Duration;
use netpoll::net::{TcpBuilder, TcpListener, TcpStream};
use netpoll::runtime::metrics;
use netpoll::sys::Errno;
use netpoll::sys::socket::{MsgFlags, sendto};
use netpoll::time::{Instant, sleep};
use netpoll::yield_now;

/// Longer than a scenario may take.
pub const LONG: Duration = Duration::from_secs(600);

/// More than a [`narrow`] connection holds.
pub static LOTS: [u8; 100_000] = [0; 100_000];

/// A connection whose buffers are small and fixed: neither the host's settings nor automatic tuning make them larger,
/// because both ends have theirs before they connect.
pub fn narrow() -> (TcpStream, TcpStream) {
    let builder = TcpBuilder::new().recv_buffer_size(4 << 10).send_buffer_size(4 << 10);
    let listener = builder.listen("127.0.0.1:0").unwrap();
    let near = builder.connect(listener.local_addr().unwrap()).unwrap();
    (near, listener.accept().unwrap().0)
}

/// Fills the buffers of a [`narrow`] connection until the kernel takes nothing more, and keeps taking nothing; returns how
/// much they took.
pub fn fill(stream: &TcpStream) -> usize {
    // Tries in a row, and 5 ms between two of them. What was sent moves on for a while: acknowledgements are delayed by up
    // to 40 ms, and packets by a sender that paces them.
    const QUIET: u32 = 20;
    let (mut sent, mut refused) = (0, 0);
    while refused < QUIET {
        match sendto(stream.as_raw_fd(), &LOTS, MsgFlags::NOSIGNAL, None) {
            Ok(n) => (sent, refused) = (sent + n, 0),
            Err(e) => {
                assert_eq!(e, Errno::EAGAIN);
                refused += 1;
                sleep(Duration::from_millis(5));
            }
        }
    }
    assert!(sent < LOTS.len(), "the buffers are not narrow: they hold {sent} bytes");
    sent
}

pub fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    (near, far)
}

/// One byte that is there, or will be.
pub fn read1(stream: &TcpStream) -> u8 {
    let mut buf = [0; 16];
    assert_eq!(stream.read(&mut buf), Ok(1));
    buf[0]
}

/// Nobody is left with the poller but those who wait in the program itself.
pub fn nobody_waits() {
    let start = Instant::now();
    while metrics().waiters != 0 {
        assert!(start.elapsed() < Duration::from_secs(60), "{} waiters", metrics().waiters);
        yield_now();
    }
}
