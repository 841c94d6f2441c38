//! Sockets that a program is started with (`LISTEN_FDS`).

use crate::activation::activated;
use crate::again::again;
use crate::harness::{PROFILES, Profile, finish, run, scenario};
use std::fs::File;
use std::io::Read;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};

fn inherits(
    profile: Profile,
    sockets: Vec<OwnedFd>,
    fds: &str,
    names: Option<&str>,
    word: &[&str],
) -> Command {
    let mut command = activated(scenario(profile, "inherited").args(word), sockets, fds, names);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn all(mut from: impl Read) -> String {
    let mut text = String::new();
    from.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn inherited_sockets_are_of_their_kinds_and_serve() {
    for profile in PROFILES {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("[::1]:0").unwrap();
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("inherited-{profile:?}"));
        let _ = std::fs::remove_file(&path);
        let unix = UnixListener::bind(&path).unwrap();
        let stream = TcpStream::connect(tcp.local_addr().unwrap()).unwrap();
        let (far, _) = tcp.accept().unwrap();
        let ((near, pair), (datagram, _)) = (UnixStream::pair().unwrap(), UnixDatagram::pair().unwrap());
        let (tcp_addr, udp_addr) = (tcp.local_addr().unwrap(), udp.local_addr().unwrap());
        let file = File::open("/dev/null").unwrap();
        let sockets: Vec<OwnedFd> = vec![
            tcp.into(),
            udp.into(),
            unix.into(),
            stream.into(),
            pair.into(),
            datagram.into(),
            file.into(),
        ];
        let mut command = inherits(profile, sockets, "7", Some("web:::a b:x"), &[]);
        let child = command.spawn().unwrap();
        drop(command); // and the sockets with it
        // They have waited for this: no listener has been anybody's yet.
        let client = UdpSocket::bind("[::1]:0").unwrap();
        client.send_to(b"123", udp_addr).unwrap();
        assert_eq!(all(TcpStream::connect(tcp_addr).unwrap()), "tcp");
        let mut answer = [0; 8];
        assert_eq!(again(|| client.recv(&mut answer)).unwrap(), 3);
        assert_eq!(&answer[..3], b"udp");
        assert_eq!(all(UnixStream::connect(&path).unwrap()), "unix");
        assert_eq!(all(far), "stream");
        assert_eq!(all(near), "pair");
        finish(child).unwrap().exited(0).printed(
            "7 sockets\nweb TcpListener\nunknown UdpSocket\nunknown UnixListener\na b TcpStream\n\
             x UnixStream\nunknown UnixDatagram\nunknown Other\n",
            "",
        );
    }
}

#[test]
fn inherited_nothing_and_nonsense() {
    for profile in PROFILES {
        let with = |n: usize, fds: &str, word: &[&str]| {
            let sockets = (0..n).map(|_| File::open("/dev/null").unwrap().into()).collect();
            run(&mut inherits(profile, sockets, fds, None, word))
        };
        with(1, "1", &[]).exited(0).printed("1 sockets\nunknown Other\n", "");
        with(0, "0", &[]).exited(0).printed("0 sockets\n", "");
        with(0, "1", &[]).exited(1).printed("fcntl: EBADF\n", "");
        // The program has something of its own where the second should be.
        with(1, "2", &["127.0.0.1:0"]).exited(1).printed("fcntl: EBADF\n", "");
        for fds in ["", "x", "-1", "1x", "2147483647", "99999999999"] {
            with(1, fds, &[]).exited(1).printed("fcntl: EINVAL\n", "");
        }
        // For another process, or nobody.
        let mut command = scenario(profile, "inherited");
        run(command.env("LISTEN_FDS", "1")).exited(0).printed("0 sockets\n", "");
        run(command.env("LISTEN_PID", "1")).exited(0).printed("0 sockets\n", "");
    }
}
