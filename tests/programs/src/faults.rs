//! One operation of each kind, made while `tests/faults` has system calls fail. What it came to is printed;
//! that nothing else has come of it is asserted here: another connection works, the same operation succeeds
//! afterwards, and no descriptor, task or waiter is left.

use crate::Scenario;
use crate::support::{self, LOOPBACK, LOTS, PATIENCE, SETTLE, after, descriptors, eventually, ms, open};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;
use netpoll::arch::syscall1;
use netpoll::io::{OwnedFd, PollFd, copy, pipe};
use netpoll::net::dns::Resolver;
use netpoll::net::udp::{RecvDatagram, SendDatagram};
use netpoll::net::{
    Error, Next, Serve, Shutdown, TcpBuilder, TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream,
};
use netpoll::runtime::metrics;
use netpoll::sys::fd::{self, IoSlice, IoSliceMut};
use netpoll::sys::process::getpid;
use netpoll::sys::signal::kill;
use netpoll::time::{Instant, sleep};
use netpoll::{Builder, println, scope, signal, spawn};

pub const SCENARIOS: &[Scenario] = &[("faults", faults)];

/// No call has this number. Between one with 1 and one with 0 calls may fail.
const MARKER: usize = 0x4e50;

fn injecting<T>(f: impl FnOnce() -> T) -> T {
    // SAFETY: there is no such call.
    unsafe { syscall1(MARKER, 1) };
    let result = f();
    // SAFETY: as above.
    unsafe { syscall1(MARKER, 0) };
    result
}

/// What operations use, made before anything fails.
struct World {
    listener: TcpListener,
    addr: SocketAddr,
    near: TcpStream,
    far: TcpStream,
    unix: (UnixStream, UnixStream),
    udp: (UdpSocket, UdpSocket),
}

const BUFFER: u32 = 64 << 10;

impl World {
    fn new() -> World {
        // Neither too small for a fast transfer nor so large that `fill` does not fill them, on any host.
        let builder = TcpBuilder::new().recv_buffer_size(BUFFER).send_buffer_size(BUFFER);
        let listener = builder.listen(LOOPBACK).unwrap();
        let addr = listener.local_addr().unwrap();
        let near = builder.connect(addr).unwrap();
        let (far, _) = listener.accept().unwrap();
        let udp = [(); 2].map(|()| UdpSocket::bind(LOOPBACK).unwrap());
        udp[0].connect(udp[1].local_addr().unwrap()).unwrap();
        let [a, b] = udp;
        World { listener, addr, near, far, unix: UnixStream::pair().unwrap(), udp: (a, b) }
    }
}

type Operation = fn(&World) -> Result<(), Error>;

const OPERATIONS: &[(&str, Operation)] = &[
    ("listen", listen),
    ("build", build),
    ("connect", connect),
    ("accept", accept),
    ("bytes", bytes),
    ("again", again),
    ("vectors", vectors),
    ("peek", peek),
    ("park", park),
    ("breaks", breaks),
    ("fill", fill),
    ("options", options),
    ("shutdown", shutdown),
    ("close", close),
    ("unix", unix),
    ("rights", rights),
    ("udp", udp),
    ("batches", batches),
    ("pipes", pipes),
    ("adopt", adopt),
    ("low", low),
    ("signals", signals),
    ("open", opens),
    ("lookup", lookup),
    ("splice", spliced),
    ("sendfile", sendfile),
    ("spawn", spawns),
    ("sleep", sleeps),
    ("serve", served),
];

/// `OPERATION [cold|lost]`: cold, nothing has been opened before; lost, nothing works behind it.
fn faults(words: &[&str]) {
    let operation = OPERATIONS.iter().find(|(name, _)| *name == words[0]).unwrap().1;
    if words.contains(&"cold") {
        let tasks = metrics().tasks;
        let result = injecting(|| if words[0] == "spawn" { spawn_many() } else { bind() });
        let files = descriptors();
        let witness = Witness::new();
        drop(witness);
        eventually("the end of all tasks", || metrics().tasks == tasks);
        // A poller that could not be made before is there now: two descriptors.
        assert!((files..=files + 2).contains(&descriptors()));
        return tell(result);
    }
    drop(World::new());
    if words[0] == "low" {
        support::close(0).unwrap(); // the poller has its own by now
    }
    let (files, tasks) = (descriptors(), metrics().tasks);
    let (world, witness) = (World::new(), Witness::new());
    let result = injecting(|| operation(&world));
    if words.contains(&"lost") {
        return tell(result);
    }
    witness.works();
    drop(world);
    let world = World::new();
    operation(&world).unwrap();
    drop(world);
    drop(witness);
    eventually("the end of all tasks", || metrics().tasks == tasks);
    eventually("the count of all waiters", || metrics().waiters == 0);
    assert_eq!(descriptors(), files);
    tell(result);
}

fn tell(result: Result<(), Error>) {
    match result {
        Ok(()) => println!("fine"),
        Err(e) => println!("{e}"),
    }
}

/// A connection that has nothing to do with what fails: one end echoes.
struct Witness(TcpStream);

impl Witness {
    fn new() -> Witness {
        let (near, far) = crate::support::pair();
        drop(spawn(move || {
            let mut buf = [0; 16];
            while let Ok(n @ 1..) = far.read(&mut buf) {
                far.write_all(&buf[..n]).unwrap();
            }
        }));
        let witness = Witness(near);
        witness.works();
        // It makes no call from then on, before it is written to.
        eventually("the witness's wait", || metrics().waiters != 0);
        sleep(SETTLE);
        witness
    }

    fn works(&self) {
        self.0.write_all(b"unharmed").unwrap();
        let mut buf = [0; 8];
        self.0.read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"unharmed");
    }
}

fn listen(_: &World) -> Result<(), Error> {
    bind()
}

fn bind() -> Result<(), Error> {
    TcpListener::bind(LOOPBACK)?.local_addr().map(drop)
}

fn build(world: &World) -> Result<(), Error> {
    let builder = TcpBuilder::new().reuse_port(true).nodelay(true);
    builder.listen(LOOPBACK)?;
    builder.connect(world.addr)?;
    world.listener.accept().map(drop)
}

fn connect(world: &World) -> Result<(), Error> {
    let stream = TcpStream::connect(world.addr)?;
    stream.peer_addr()?;
    stream.take_error()?;
    world.listener.accept().map(drop)
}

fn accept(world: &World) -> Result<(), Error> {
    let client = TcpStream::connect(world.addr)?;
    let (server, _) = world.listener.accept()?;
    server.write_all(b"welcome")?;
    client.read_exact(&mut [0; 7])
}

fn bytes(world: &World) -> Result<(), Error> {
    world.near.write_all(b"seven b")?;
    world.far.read_exact(&mut [0; 7])
}

/// Makes `op` with a short deadline, which `set` sets, until that is not what ends it.
fn insist<T>(
    set: impl Fn(Option<Instant>) -> Result<(), Error>,
    mut op: impl FnMut() -> Result<T, Error>,
) -> Result<T, Error> {
    for _ in 0..1000 {
        set(Some(after(ms(20))))?;
        let done = op();
        set(None)?;
        if !matches!(done, Err(Error::TimedOut)) {
            return done;
        }
    }
    panic!("nothing but timeouts");
}

/// Without a new byte or a new connection what was there already is found.
fn again(world: &World) -> Result<(), Error> {
    let World { listener, near, far, .. } = world;
    for _ in 0..2 {
        assert_eq!(insist(|at| near.set_write_deadline(at), || near.write(b"seven b"))?, 7);
        assert_eq!(insist(|at| far.set_read_deadline(at), || far.read(&mut [0; 64]))?, 7);
    }
    let clients = [(); 2].map(|()| TcpStream::connect(world.addr));
    for client in clients {
        let (server, _) = insist(|at| listener.set_deadline(at), || listener.accept())?;
        server.write_all(b"welcome")?;
        client?.read_exact(&mut [0; 7])?;
    }
    Ok(())
}

fn vectors(world: &World) -> Result<(), Error> {
    assert_eq!(world.near.write_vectored(&[IoSlice::new(b"two"), IoSlice::new(b"parts")])?, 8);
    let (mut two, mut parts) = ([0; 3], [0; 5]);
    let n = world.far.read_vectored(&mut [IoSliceMut::new(&mut two), IoSliceMut::new(&mut parts)])?;
    assert_eq!(n, 8);
    Ok(())
}

fn peek(world: &World) -> Result<(), Error> {
    world.near.write_all(b"seven b")?;
    world.far.peek(&mut [0; 7])?;
    world.far.read_exact(&mut [0; 7])
}

/// Readers and a timer that wait while threads sleep, and are woken by each other.
fn park(world: &World) -> Result<(), Error> {
    scope(|s| {
        let reader = s.spawn(|| (0..5).try_for_each(|_| world.far.read_exact(&mut [0; 7])));
        let writer = s.spawn(|| {
            (0..5).try_for_each(|_| {
                sleep(ms(2));
                world.near.write_all(b"seven b")
            })
        });
        writer.join()?;
        reader.join()
    })
}

/// Ever earlier deadlines, until one has interrupted the other thread, which waits for descriptors.
fn breaks(world: &World) -> Result<(), Error> {
    let breaks = || metrics().poller.breaks;
    for time in (10..1_000_000).rev() {
        let pause = after(Duration::from_micros(200));
        while Instant::now() < pause {} // not a sleep, in which this thread would wait itself
        let before = breaks();
        world.far.set_read_deadline(Some(after(Duration::from_secs(time))))?;
        let broken = breaks() != before;
        world.far.set_read_deadline(None)?;
        if broken {
            break;
        }
    }
    Ok(())
}

/// Writes until it waits for room, for the first time at this end.
fn fill(world: &World) -> Result<(), Error> {
    scope(|s| {
        let writer = s.spawn(|| {
            let mut left = 4 << 20;
            while left > 0 {
                left -= match world.far.write(&LOTS) {
                    Ok(n) => left.min(n),
                    Err(e) => {
                        world.far.shutdown(Shutdown::Both)?; // so that the reader sees an end
                        return Err(e);
                    }
                };
            }
            world.far.shutdown(Shutdown::Write)
        });
        sleep(SETTLE);
        let mut buf = [0; 16 << 10];
        while world.near.read(&mut buf)? > 0 {}
        writer.join()
    })
}

fn options(world: &World) -> Result<(), Error> {
    world.near.set_nodelay(true)?;
    assert!(world.near.nodelay()?);
    Ok(())
}

fn shutdown(world: &World) -> Result<(), Error> {
    world.near.shutdown(Shutdown::Write)?;
    assert_eq!(world.far.read(&mut [0])?, 0);
    Ok(())
}

fn close(world: &World) -> Result<(), Error> {
    world.near.close()?;
    assert_eq!(world.far.read(&mut [0])?, 0);
    Ok(())
}

fn unix(world: &World) -> Result<(), Error> {
    let (a, b) = UnixStream::pair()?;
    a.write_all(b"seven b")?;
    b.read_exact(&mut [0; 7])?;
    world.unix.0.write_all(b"seven b")?;
    world.unix.1.read_exact(&mut [0; 7])?;
    let name = netpoll::net::unix::SocketAddr::from_abstract_name(b"netpoll-faults");
    let listener = UnixListener::bind_addr(&name?)?;
    let client = UnixStream::connect_addr(&listener.local_addr()?)?;
    listener.accept()?;
    drop(client);
    Ok(())
}

fn rights(world: &World) -> Result<(), Error> {
    world.unix.0.send_fds(b"one", &[world.near.as_raw_fd()])?;
    let mut fds = [const { None }; 2];
    let received = world.unix.1.recv_fds(&mut [0; 8], &mut fds)?;
    assert_eq!((received.bytes, received.fds), (3, 1));
    Ok(())
}

fn udp(world: &World) -> Result<(), Error> {
    let (a, b) = &world.udp;
    a.send(b"seven b")?;
    b.recv_from(&mut [0; 8])?;
    b.send_to(b"back", a.local_addr()?)?;
    Ok(())
}

fn batches(world: &World) -> Result<(), Error> {
    let (a, b) = &world.udp;
    a.send_batch(&[SendDatagram::new(b"one", None), SendDatagram::new(b"two", None)])?;
    let mut bufs = [[0; 8]; 4];
    let mut datagrams: Vec<_> = bufs.iter_mut().map(|buf| RecvDatagram::new(buf)).collect();
    assert_eq!(b.recv_batch(&mut datagrams)?, 2);
    Ok(())
}

fn pipes(_: &World) -> Result<(), Error> {
    let (reader, writer) = pipe()?;
    writer.write_all(b"seven b")?;
    reader.read_exact(&mut [0; 7])
}

/// Two descriptors from elsewhere, which block.
fn adopt(_: &World) -> Result<(), Error> {
    let ends = fd::pipe2(fd::OFlags::CLOEXEC).unwrap();
    // SAFETY: they were just made.
    let [reader, writer] = ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) });
    let (reader, writer) = (PollFd::new(reader)?, PollFd::new(writer)?);
    writer.write_all(b"seven b")?;
    reader.read_exact(&mut [0; 7])
}

/// Where 0 is free, a socket would be standard input.
fn low(_: &World) -> Result<(), Error> {
    bind()
}

fn signals(_: &World) -> Result<(), Error> {
    let signals = signal::notify(&[signal::SIGWINCH])?;
    kill(getpid(), Some(signal::SIGWINCH)).unwrap();
    assert_eq!(signals.recv()?.signal, signal::SIGWINCH);
    Ok(())
}

fn opens(_: &World) -> Result<(), Error> {
    PollFd::open(c"/proc/self/exe", fd::OFlags::empty(), 0)?.read_exact(&mut [0; 7])
}

/// Asks a name server here.
fn lookup(_: &World) -> Result<(), Error> {
    let server = UdpSocket::bind(LOOPBACK)?;
    let (port, other) = (server.local_addr()?.port(), server.try_clone()?);
    let answers = spawn(move || {
        let mut message = [0; 600];
        while let Ok((_, from)) = other.recv_from(&mut message) {
            // Behind the header the name, to its zero, then its kind and class.
            let kind = 12 + message[12..].iter().position(|&byte| byte == 0).unwrap() + 1;
            let mut end = kind + 4;
            let one = message[kind + 1] == 1; // an A, and no AAAA
            message[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, one.into(), 0, 0, 0, 0]);
            if one {
                message[end..end + 16].copy_from_slice(b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04\x7f\0\0\x01");
                end += 16;
            }
            other.send_to(&message[..end], from).unwrap();
        }
    });
    // Without a line the server is the one on this machine.
    let resolver = Resolver::new().hosts(c"/dev/null").resolv_conf(c"/dev/null").port(port);
    let found = resolver.lookup("host.test:80");
    server.close()?;
    answers.join();
    assert!(found?.contains(&SocketAddr::from(([127, 0, 0, 1], 80))));
    Ok(())
}

fn spliced(world: &World) -> Result<(), Error> {
    world.near.write_all(b"seven b")?;
    world.near.shutdown(Shutdown::Write)?;
    let (a, b) = TcpStream::connect(world.addr).and_then(|a| Ok((a, world.listener.accept()?.0)))?;
    copy(&world.far, &a)?;
    b.read_exact(&mut [0; 7])
}

fn sendfile(world: &World) -> Result<(), Error> {
    let file = open(c"/proc/self/exe");
    scope(|s| {
        let reader = s.spawn(|| {
            let mut buf = [0; 16 << 10];
            while let Ok(1..) = world.far.read(&mut buf) {}
        });
        let sent = world.near.send_file(file, &mut 0, 200_000);
        let ended = world.near.shutdown(Shutdown::Both);
        reader.join();
        support::close(file).unwrap();
        sent.and(ended)
    })
}

fn spawns(_: &World) -> Result<(), Error> {
    spawn_many()
}

fn spawn_many() -> Result<(), Error> {
    let tasks: Vec<_> = (0..200)
        .map(|i| Builder::new().stack_size(if i % 2 == 0 { 0 } else { 1 << 20 }).spawn(move || i))
        .collect();
    // Those there was no memory for are errors, of `Builder::spawn`, and the rest do run.
    let ran = tasks.into_iter().enumerate().filter_map(|(i, task)| Some((i, task.ok()?.join())));
    assert!(ran.inspect(|&(i, value)| assert_eq!(i, value)).count() > 0);
    Ok(())
}

fn sleeps(_: &World) -> Result<(), Error> {
    let tasks: Vec<_> = (0..100).map(|i| spawn(move || sleep(ms(1 + i % 7)))).collect();
    tasks.into_iter().for_each(|task| task.join());
    Ok(())
}

/// Some connections may be refused or end early; the server does not.
fn served(_: &World) -> Result<(), Error> {
    let listener = Arc::new(TcpListener::bind(LOOPBACK)?);
    let (addr, other) = (listener.local_addr()?, listener.clone());
    let server = spawn(move || {
        Serve::new().idle_timeout(PATIENCE).run(&*other, |stream: &TcpStream| {
            let mut buf = [0; 16];
            match stream.read(&mut buf) {
                Ok(n @ 1..) if stream.write_all(&buf[..n]).is_ok() => Next::Idle,
                _ => Next::Close,
            }
        })
    });
    let ask = || {
        let client = TcpStream::connect(addr)?;
        client.set_read_deadline(Some(after(PATIENCE / 2)))?;
        for _ in 0..2 {
            client.write_all(b"seven b")?;
            client.read_exact(&mut [0; 7])?;
        }
        Ok::<(), Error>(())
    };
    let asked: Vec<_> = (0..4).map(|_| ask()).collect();
    listener.close()?;
    server.join()?;
    asked.into_iter().find(|asked| asked.is_err()).unwrap_or(Ok(()))
}
