//! Waits that must not spin: events that come again and again without what is waited for. Go allows twenty EAGAINs
//! in a row (TestEndlessWrite).

use crate::Scenario;
use crate::support::{LOTS, dup, ms, narrow_pair, pair};
use core::cell::Cell;
use netpoll::io::{OwnedFd, PollFd};
use netpoll::net::{Shutdown, TcpStream};
use netpoll::spawn;
use netpoll::sys::Errno;
use netpoll::sys::fd::{read, write};
use netpoll::sys::socket::{MsgFlags, sendto};
use netpoll::sys::sockopt::set_socket_linger;
use netpoll::time::sleep;

pub const SCENARIOS: &[Scenario] = &[
    ("a_write_behind_the_peers_end_does_not_spin", half_closed),
    ("a_read_beside_an_urgent_byte_does_not_spin", urgent),
    ("a_reset_ends_both_ways_without_spinning", reset),
];

const MOST: u32 = 20;

/// Counts the EAGAINs in a row.
#[derive(Default)]
struct InARow(Cell<u32>);

impl InARow {
    fn note(&self, done: Result<usize, Errno>) -> Result<usize, Errno> {
        self.0.set(if done == Err(Errno::EAGAIN) { self.0.get() + 1 } else { 0 });
        assert!(self.0.get() <= MOST, "it spins");
        done
    }
}

/// The same connection, with every try of a transfer to be seen.
fn bare(stream: TcpStream) -> PollFd {
    // SAFETY: the stream's last handle has given it up.
    PollFd::new(unsafe { OwnedFd::from_raw_fd(stream.into_raw_fd().unwrap()) }).unwrap()
}

/// The peer has shut down its writing side, which is an event that stays; and reads, but slowly.
fn half_closed(_: &[&str]) {
    const LEN: usize = 8 << 20;
    let (near, far) = pair();
    let near = bare(near);
    far.shutdown(Shutdown::Write).unwrap();
    assert_eq!(near.read(&mut [0]), Ok(0));
    let writer = spawn(move || {
        let (in_a_row, mut left) = (InARow::default(), LEN);
        while left > 0 {
            let most = left.min(LOTS.len());
            left -= near.write_with(|fd| in_a_row.note(write(fd, &LOTS[..most]))).unwrap();
        }
    });
    let (mut buf, mut sum) = ([0; 16 << 10], 0);
    while sum < LEN {
        if sum < LEN / 8 {
            sleep(ms(1));
        }
        sum += far.read(&mut buf).unwrap();
    }
    writer.join();
    assert_eq!(far.read(&mut buf), Ok(0));
}

/// Urgent data is there all the time, and nothing to read.
fn urgent(_: &[&str]) {
    let (near, far) = pair();
    let (near, other) = (bare(near), dup(&far));
    sendto(far.as_raw_fd(), b"!", MsgFlags::OOB, None).unwrap();
    let sender = spawn(move || {
        sleep(ms(30));
        other.write_all(b"at last").unwrap();
    });
    let in_a_row = InARow::default();
    let mut buf = [0; 16];
    assert_eq!(near.read_with(|fd| in_a_row.note(read(fd, &mut buf))), Ok(7));
    sender.join();
}

fn reset(_: &[&str]) {
    let (near, far) = narrow_pair();
    let near = bare(near);
    let full = near.try_clone().unwrap();
    let writer = spawn(move || {
        let in_a_row = InARow::default();
        loop {
            if let Err(e) = full.write_with(|fd| in_a_row.note(write(fd, &LOTS))) {
                return e;
            }
        }
    });
    let reader = spawn(move || {
        let in_a_row = InARow::default();
        near.read_with(|fd| in_a_row.note(read(fd, &mut [0; 16])))
    });
    sleep(ms(10));
    set_socket_linger(far.as_raw_fd(), Some(0)).unwrap();
    drop(far);
    // One of the two is told of the reset, and the other of what it has left.
    let (wrote, got) = (writer.join(), reader.join());
    assert!(matches!(wrote.errno(), Some(Errno::ECONNRESET | Errno::EPIPE)), "{wrote}");
    assert!(matches!(got.map_err(|e| e.errno()), Ok(0) | Err(Some(Errno::ECONNRESET))), "{got:?}");
}
