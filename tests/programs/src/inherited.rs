//! Sockets that the program was started with.

use netpoll::net::{Error, Socket, TcpListener, inherited};
use netpoll::println;
use netpoll::rt::Env;
use netpoll::sys::fd::{FdFlags, fcntl_getfd};

/// Prints what each is called and is, and serves one client of those that have clients. With a word, opens
/// something before.
pub fn tell(env: Env, words: &[&str]) -> i32 {
    let own = words.first().map(|addr| TcpListener::bind(*addr).unwrap());
    let sockets = match inherited(&env) {
        Ok(sockets) => sockets,
        Err(e) => {
            println!("{e}");
            return 1;
        }
    };
    println!("{} sockets", sockets.len());
    for (fd, socket) in (3..).zip(sockets) {
        assert_eq!(fcntl_getfd(fd), Ok(FdFlags::CLOEXEC));
        let socket = socket.unwrap();
        println!("{} {}", core::str::from_utf8(socket.name).unwrap(), serve(socket.socket).unwrap());
    }
    assert_eq!(inherited(&env).map(|again| again.len()), Ok(0));
    drop(own);
    0
}

fn serve(socket: Socket) -> Result<&'static str, Error> {
    Ok(match socket {
        Socket::TcpListener(listener) => {
            listener.accept()?.0.write_all(b"tcp")?;
            "TcpListener"
        }
        Socket::TcpStream(stream) => {
            stream.write_all(b"stream")?;
            "TcpStream"
        }
        Socket::UdpSocket(socket) => {
            let (n, peer) = socket.recv_from(&mut [0; 8])?;
            socket.send_to(&b"udp....."[..n], peer)?;
            "UdpSocket"
        }
        Socket::UnixListener(listener) => {
            listener.accept()?.0.write_all(b"unix")?;
            "UnixListener"
        }
        Socket::UnixStream(stream) => {
            stream.write_all(b"pair")?;
            "UnixStream"
        }
        Socket::UnixDatagram(_) => "UnixDatagram",
        Socket::UnixSeqpacketListener(_) => "UnixSeqpacketListener",
        Socket::UnixSeqpacket(_) => "UnixSeqpacket",
        Socket::Other(_) => "Other",
        _ => "of a kind of its own",
    })
}
