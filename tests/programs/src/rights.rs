//! Descriptors that travel over Unix sockets.

use crate::Scenario;
use crate::support::{close, descriptors, errno, limit, ms, waiting};
use core::array::from_fn;
use netpoll::io::{OwnedFd, PipeReader, PipeWriter, pipe};
use netpoll::net::unix::Received;
use netpoll::net::{UnixDatagram, UnixSeqpacket, UnixStream};
use netpoll::sys::Errno;
use netpoll::sys::fd::{FdFlags, fcntl_getfd};
use netpoll::sys::process::Resource;
use netpoll::time::sleep;

pub const SCENARIOS: &[Scenario] = &[
    ("descriptors_travel", travel),
    ("descriptors_split_a_read", split),
    ("descriptors_that_nobody_takes", unwanted),
    ("descriptors_without_room", without_room),
    ("descriptors_by_the_hundred", many),
    ("descriptors_refused", refused),
];

fn whole(bytes: usize, fds: usize) -> Received {
    Received { bytes, fds, fds_lost: false, bytes_lost: false }
}

fn travel(_: &[&str]) {
    drop(UnixStream::pair().unwrap()); // makes the poller
    let before = descriptors();
    {
        let (near, far) = UnixStream::pair().unwrap();
        let receiver = waiting(move || {
            let mut fds = [const { None }; 4];
            let received = far.recv_fds(&mut [0; 64], &mut fds).unwrap();
            (received, fds, far)
        });
        let (reader, writer) = pipe().unwrap();
        assert_eq!(near.send_fds(b"two ends", &[reader.as_raw_fd(), writer.as_raw_fd()]), Ok(8));
        drop((reader, writer));
        let (received, [first, second, None, None], _far) = receiver.join() else { panic!("too many") };
        assert_eq!(received, whole(8, 2));
        let (first, second) = (first.unwrap(), second.unwrap());
        assert_eq!(fcntl_getfd(first.as_raw_fd()), Ok(FdFlags::CLOEXEC));
        // SAFETY: nobody else has them.
        let (reader, writer) = unsafe {
            let reader = PipeReader::from_raw_fd(first.into_raw_fd()).unwrap();
            (reader, PipeWriter::from_raw_fd(second.into_raw_fd()).unwrap())
        };
        writer.write_all(b"arrived").unwrap();
        let mut buf = [0; 64];
        assert_eq!(reader.read(&mut buf), Ok(7));
    }
    assert_eq!(descriptors(), before);
}

/// A read ends at a message with descriptors, short though there is more, and what is behind it brings no
/// edge of its own.
fn split(_: &[&str]) {
    let (near, far) = UnixStream::pair().unwrap();
    let reader = waiting(move || {
        let (mut buf, mut got) = ([0; 100], 0);
        while got < 18 {
            got += far.read(&mut buf).unwrap();
        }
        far
    });
    near.write_all(b"before").unwrap();
    near.send_fds(b"inside", &[near.as_raw_fd()]).unwrap();
    near.write_all(b"behind").unwrap();
    let far = reader.join();
    near.write_all(b"before").unwrap();
    near.send_fds(b"inside", &[near.as_raw_fd()]).unwrap();
    near.write_all(b"behind").unwrap();
    let mut fds = [const { None }; 2];
    let (mut buf, mut bytes, mut count) = ([0; 100], 0, 0);
    while bytes < 18 {
        let received = far.recv_fds(&mut buf, &mut fds).unwrap();
        (bytes, count) = (bytes + received.bytes, count + received.fds);
    }
    assert_eq!((bytes, count), (18, 1));
}

fn unwanted(_: &[&str]) {
    let (near, far) = UnixStream::pair().unwrap();
    let before = descriptors();
    for _ in 0..10 {
        near.send_fds(b"x", &[near.as_raw_fd(); 3]).unwrap();
        assert_eq!(far.read(&mut [0]), Ok(1));
        near.send_fds(b"x", &[near.as_raw_fd(); 3]).unwrap();
        let expected = Received { fds_lost: true, ..whole(1, 0) };
        assert_eq!(far.recv_fds(&mut [0], &mut []), Ok(expected));
        for room in [1, 2] {
            near.send_fds(b"x", &[near.as_raw_fd(); 3]).unwrap();
            let mut fds = [const { None }; 2];
            let expected = Received { fds_lost: true, ..whole(1, room) };
            assert_eq!(far.recv_fds(&mut [0], &mut fds[..room]), Ok(expected));
            assert_eq!(fds.iter().flatten().count(), room);
        }
        // Never received at all.
        let (near, far) = UnixStream::pair().unwrap();
        near.send_fds(b"x", &[near.as_raw_fd(); 3]).unwrap();
        drop(far);
    }
    assert_eq!(descriptors(), before);
}

fn without_room(_: &[&str]) {
    let (near, far) = UnixStream::pair().unwrap();
    near.send_fds(b"x", &[0; 8]).unwrap();
    let before = descriptors();
    let old = limit(Resource::Nofile, before as u64 + 5); // one is free below 3, perhaps
    let mut fds: [Option<OwnedFd>; 8] = from_fn(|_| None);
    let received = far.recv_fds(&mut [0], &mut fds).unwrap();
    limit(Resource::Nofile, old);
    assert!(received.fds_lost && received.fds < 8 && received.bytes == 1, "{received:?}");
    assert_eq!(descriptors(), before + received.fds);
    drop(fds);
    assert_eq!(descriptors(), before);
}

fn many(_: &[&str]) {
    let (near, far) = UnixSeqpacket::pair().unwrap();
    let before = descriptors();
    assert_eq!(near.send_fds(b"all", &[0; 253]), Ok(3));
    let mut fds: [Option<OwnedFd>; 300] = from_fn(|_| None);
    assert_eq!(far.recv_fds(&mut [0; 2], &mut fds), Ok(Received { bytes_lost: true, ..whole(2, 253) }));
    assert_eq!(descriptors(), before + 253);
    assert!(fds.iter().flatten().all(|fd| fd.as_raw_fd() > 2));
    drop(fds);
    assert_eq!(descriptors(), before);

    let (near, far) = UnixDatagram::pair().unwrap();
    near.send_fds(b"datagram", &[0]).unwrap();
    sleep(ms(1));
    let mut fds = [None];
    assert_eq!(far.recv_fds(&mut [0; 8], &mut fds), Ok(whole(8, 1)));
    // Never one of the standard numbers, even if they are free: what is printed would go there.
    near.send_fds(b"datagram", &[near.as_raw_fd()]).unwrap();
    close(0).unwrap();
    let mut second = [None];
    assert_eq!(far.recv_fds(&mut [0; 8], &mut second), Ok(whole(8, 1)));
    assert!(second[0].as_ref().unwrap().as_raw_fd() > 2);
    let copy = fds[0].as_ref().unwrap().try_clone().unwrap();
    assert_ne!(Some(&copy), fds[0].as_ref());
}

fn refused(_: &[&str]) {
    let (near, far) = UnixStream::pair().unwrap();
    assert_eq!(errno(near.send_fds(b"", &[0])), Errno::EINVAL);
    assert_eq!(errno(near.send_fds(b"x", &[0; 254])), Errno::EINVAL);
    assert_eq!(errno(near.send_fds(b"x", &[1_000_000])), Errno::EBADF);
    assert_eq!(near.send_fds(b"none", &[]), Ok(4));
    assert_eq!(far.recv_fds(&mut [0; 8], &mut [None]), Ok(whole(4, 0)));
}
