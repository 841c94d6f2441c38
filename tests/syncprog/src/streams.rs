//! Streams for the scenarios.

use core::time::Duration;
use netpoll::net::{TcpListener, TcpStream};
use netpoll::runtime::metrics;
use netpoll::yield_now;

/// Longer than a scenario may take.
pub const LONG: Duration = Duration::from_secs(50);

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
    let mut n = 0;
    while metrics().waiters != 0 {
        n += 1;
        assert!(n < 10_000, "{} waiters", metrics().waiters);
        yield_now();
    }
}
