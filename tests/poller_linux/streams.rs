//! Streams on the poller: their ends, and bytes under fire.

use crate::sched::{poll, spawn};
use crate::{Poller, close, each_kernel, pipe, polling, stop, unix};
use netpoll::poll::{Error, Kernel, Mode, PollDesc, Side};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::scope;

fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    client.set_nonblocking(true).unwrap();
    server.set_nonblocking(true).unwrap();
    (client, server)
}

#[test]
fn data_and_fin_in_one_event_are_both_seen() {
    each_kernel(|p| {
        let (client, mut server) = tcp();
        let pd = p.open(client.as_raw_fd()).unwrap();
        server.write_all(b"last words").unwrap();
        drop(server);
        scope(|s| {
            let task = spawn(s, 1, || {
                let mut buffer = [0; 64];
                let mut all = Vec::new();
                loop {
                    p.reset(pd, Mode::Read)?;
                    match (&client).read(&mut buffer) {
                        Ok(0) => return Ok::<_, Error>(all),
                        Ok(n) => {
                            all.extend(&buffer[..n]);
                            // A short read: drained, unless a hangup was seen.
                            if n < buffer.len() && !p.hangup_seen(pd).unwrap() {
                                p.wait(pd, Mode::Read)?;
                            }
                        }
                        Err(_) => p.wait(pd, Mode::Read)?,
                    }
                }
            });
            while task.settle() {
                poll(p, -1);
            }
            assert_eq!(task.join(), Ok(b"last words".to_vec()));
        });
        close(p, pd);
    });
}

#[test]
fn ends_of_all_kinds_wake_the_reader() {
    fn ends(p: &Poller, reader: &impl AsRawFd, end: impl FnOnce()) {
        let pd = p.open(reader.as_raw_fd()).unwrap();
        scope(|s| {
            let task = spawn(s, 1, || p.wait(pd, Mode::Read));
            end();
            while task.settle() {
                poll(p, -1);
            }
            assert_eq!(task.join(), Ok(()));
        });
        assert!(p.hangup_seen(pd).unwrap());
        close(p, pd);
    }
    each_kernel(|p| {
        let (reader, writer) = pipe();
        ends(p, &reader, || drop(writer));
        let (a, b) = unix();
        ends(p, &a, || b.shutdown(std::net::Shutdown::Write).unwrap());
        let (client, server) = tcp();
        ends(p, &client, || server.shutdown(std::net::Shutdown::Write).unwrap());
        let (client, server) = tcp();
        (&client).write_all(b"never read").unwrap();
        ends(p, &client, || drop(server)); // with data unread: RST
        let error = (&client).read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        let (client, server) = tcp();
        ends(p, &client, || {
            // SAFETY: sends one byte of a constant.
            let sent = unsafe { libc::send(server.as_raw_fd(), b"!".as_ptr().cast(), 1, libc::MSG_OOB) };
            assert_eq!(sent, 1);
        });
    });
}

#[test]
fn reader_gone_wakes_the_writer() {
    each_kernel(|p| {
        let (reader, mut writer) = pipe();
        while writer.write(&[0; 4096]).is_ok() {}
        let pd = p.open(writer.as_raw_fd()).unwrap();
        scope(|s| {
            let task = spawn(s, 1, || p.wait(pd, Mode::Write));
            assert!(poll(p, 0).is_empty(), "full");
            drop(reader);
            assert_eq!(poll(p, -1), [1]);
            assert_eq!(task.join(), Ok(()));
        });
        assert_eq!(writer.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        close(p, pd);
    });
}

/// Readers and writers of full and empty streams, with deadlines of 2 us reset all the time (as Go's
/// TestReadWriteDeadlineRace): everything arrives, nothing hangs, nobody is left in the count.
#[test]
fn bytes_arrive_through_a_storm_of_deadlines() {
    const BYTES: usize = 2 << 20;
    each_kernel(|p| {
        let (mut a, mut b) = unix();
        let (wp, rp) = (p.open(a.as_raw_fd()).unwrap(), p.open(b.as_raw_fd()).unwrap());
        let (done, calm) = (AtomicBool::new(false), AtomicBool::new(false));
        let transfer = |pd: PollDesc, mode, io: &mut dyn FnMut(usize) -> std::io::Result<usize>| {
            let mut left = BYTES;
            while left > 0 {
                let ready = p.reset(pd, mode).and_then(|()| match io(left) {
                    Ok(n) => {
                        left -= n;
                        Ok(())
                    }
                    Err(e) if e.kind() == ErrorKind::WouldBlock => p.wait(pd, mode),
                    Err(e) => panic!("{e}"),
                });
                assert!(matches!(ready, Ok(()) | Err(Error::Timeout)), "{ready:?}");
            }
        };
        scope(|s| {
            let poller = polling(s, p, &done);
            let storm = s.spawn(|| {
                while !calm.load(SeqCst) {
                    let soon = p.kernel().nanotime() + 2_000;
                    p.set_deadline(wp, Side::Write, Some(soon)).unwrap();
                    p.set_deadline(rp, Side::Both, Some(soon)).unwrap();
                    p.set_deadline(rp, Side::Read, None).unwrap();
                    p.set_deadline(wp, Side::Both, None).unwrap();
                }
            });
            let writer = spawn(s, 1, move || {
                transfer(wp, Mode::Write, &mut |n| a.write(&[7; 9_000][..n.min(9_000)]));
                a
            });
            let reader = spawn(s, 2, move || {
                transfer(rp, Mode::Read, &mut |_| b.read(&mut [0; 7_000]));
                b
            });
            let ends = (writer.finish(), reader.finish());
            calm.store(true, SeqCst);
            storm.join().unwrap();
            stop(p, &done, [poller]);
            drop(ends);
        });
        assert_eq!(p.waiters(), 0);
        close(p, wp);
        close(p, rp);
    });
}
