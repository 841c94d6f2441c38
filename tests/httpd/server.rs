//! The program under test, and a client that takes nothing for granted.

use crate::again::again;
use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::FromRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{fs, thread};

/// Nothing here takes so long, even on a loaded machine.
pub const LONG: Duration = Duration::from_secs(60);

/// A fresh folder for one test.
pub fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("httpd").join(test);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// The program as a command, with the standard streams captured.
pub fn httpd() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_httpd"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A running server, killed when dropped.
pub struct Server {
    pub child: Child,
    pub addr: SocketAddr,
}

impl Server {
    /// Serves `root` with default options.
    pub fn start(root: &Path) -> Server {
        Server::start_with(root, &[], |_| {})
    }

    /// Serves `root` with more arguments, after `prepare`.
    pub fn start_with(root: &Path, args: &[&str], prepare: impl FnOnce(&mut Command)) -> Server {
        let mut command = httpd();
        command.arg("--root").arg(root).args(args).arg("127.0.0.1:0");
        prepare(&mut command);
        let mut child = command.spawn().unwrap();
        let line = first_line(child.stdout.take().unwrap());
        let url = line.rsplit(' ').next().unwrap();
        let addr = url.strip_prefix("http://").and_then(|addr| addr.trim_end().parse().ok());
        let Some(addr) = addr else {
            let _ = child.kill();
            panic!("no address in {line:?}, {:?}", child.wait_with_output())
        };
        Server { child, addr }
    }

    pub fn connect(&self) -> Client {
        Client::new(TcpStream::connect(self.addr).unwrap())
    }

    /// A client with a small receive buffer of fixed size: what it does not read stays with the server, whatever the
    /// host's settings are, but for what the server's own send buffer holds: 4 MiB, as a rule.
    pub fn connect_narrow(&self) -> Client {
        let buffer = 64i32 << 10;
        let SocketAddr::V4(addr) = self.addr else { panic!("{}", self.addr) };
        let addr = libc::sockaddr_in {
            sin_family: libc::AF_INET as u16,
            sin_port: addr.port().to_be(),
            sin_addr: libc::in_addr { s_addr: addr.ip().to_bits().to_be() },
            sin_zero: [0; 8],
        };
        let (size, len) = (size_of::<i32>() as u32, size_of_val(&addr) as u32);
        // SAFETY: the calls read an `int` and an address; the descriptor is new.
        let stream = unsafe {
            let fd = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
            assert!(fd >= 0, "{}", io::Error::last_os_error());
            let stream = TcpStream::from_raw_fd(fd);
            let set =
                libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, (&raw const buffer).cast(), size);
            assert_eq!(set, 0, "{}", io::Error::last_os_error());
            let connected = libc::connect(fd, (&raw const addr).cast(), len);
            assert_eq!(connected, 0, "{}", io::Error::last_os_error());
            stream
        };
        Client::new(stream)
    }

    /// How many bytes of what `client` has sent are in the server's socket.
    pub fn unread(&self, client: &Client) -> u64 {
        let port = client.stream().local_addr().unwrap().port();
        let (here, there) = (format!(":{:04X}", self.addr.port()), format!(":{port:04X}"));
        // proc_net_tcp(5): the addresses in hexadecimal, the state, and the lengths of the queues.
        let table = fs::read_to_string("/proc/self/net/tcp").unwrap();
        let line = table.lines().find_map(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            (fields[1].ends_with(&here) && fields[2].ends_with(&there)).then_some(fields)
        });
        let line = line.expect("a connection with the server");
        let (_, unread) = line[4].split_once(':').unwrap();
        u64::from_str_radix(unread, 16).unwrap()
    }

    /// Waits until the server has read all that `client` has sent.
    pub fn await_read(&self, client: &Client) {
        let end = Instant::now() + LONG;
        while self.unread(client) != 0 {
            assert!(Instant::now() < end, "the server does not read");
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until the server uses next to no CPU time, a tick in `time`. Right after it has had something to do, or on a
    /// loaded machine, that may take a while; if it spins it does not come.
    pub fn await_rest(&self, time: Duration) {
        let mut used = 0;
        let rests = (0..20).any(|_| {
            let before = self.cpu_ticks();
            thread::sleep(time);
            used = self.cpu_ticks() - before;
            used <= 1
        });
        assert!(rests, "{used} ticks of 10 ms in {time:?} of waiting");
    }

    /// One request on a connection of its own: for a path, with the headers of a sane client.
    pub fn get(&self, path: &str) -> Response {
        let mut client = self.connect();
        client.send(get(path));
        client.response()
    }

    /// Sends `bytes` and the end, and returns all that comes back.
    pub fn exchange(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut client = self.connect();
        client.send(bytes);
        client.end();
        client.rest()
    }

    /// Ticks (of 10 ms) of CPU time that it has used.
    pub fn cpu_ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<_> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap() // utime, stime: proc(5)
    }

    /// Descriptors that it has open.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: kill(2) takes numbers; the child is ours and not waited for yet.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, signal) }, 0);
    }

    /// Ends it; what it has written to stderr.
    pub fn end_and_read_log(&mut self) -> String {
        self.child.kill().unwrap();
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        log
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first line of a child's output; fails the test if none comes.
pub fn first_line(output: impl Read + Send + 'static) -> String {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut line = String::new();
        let _ = BufReader::new(output).read_line(&mut line);
        sender.send(line)
    });
    receiver.recv_timeout(LONG).unwrap()
}

/// A request for `path`.
pub fn get(path: impl AsRef<OsStr>) -> String {
    format!("GET {} HTTP/1.1\r\nHost: test\r\n\r\n", path.as_ref().to_str().unwrap())
}

/// A connection to the server. Every wait ends.
pub struct Client(BufReader<TcpStream>);

impl Client {
    pub fn new(stream: TcpStream) -> Client {
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.set_write_timeout(Some(LONG)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client(BufReader::new(stream))
    }

    pub fn stream(&self) -> &TcpStream {
        self.0.get_ref()
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream().write_all(bytes.as_ref()).unwrap();
    }

    /// Sends the end.
    pub fn end(&mut self) {
        self.stream().shutdown(Shutdown::Write).unwrap();
    }

    /// Everything up to the server's end.
    pub fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).unwrap();
        String::from_utf8_lossy(&rest).into_owned()
    }

    /// Fills `buffer` with what comes next.
    pub fn read_exact(&mut self, buffer: &mut [u8]) {
        self.0.read_exact(buffer).unwrap();
    }

    /// Whether the server has ended the connection, in whatever way, without another byte.
    pub fn is_at_end(&mut self) -> bool {
        match again(|| self.0.read(&mut [0])) {
            Ok(n) => n == 0,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }

    /// The next response to a GET.
    pub fn response(&mut self) -> Response {
        let mut response = self.head();
        if let Some(len) = response.header("Content-Length") {
            response.body = vec![0; len.parse().unwrap()];
            self.read_exact(&mut response.body);
        } else if response.header("Transfer-Encoding") == Some("chunked") {
            loop {
                let size = usize::from_str_radix(self.line().as_str(), 16).unwrap();
                let start = response.body.len();
                response.body.resize(start + size, 0);
                self.read_exact(&mut response.body[start..]);
                assert_eq!(self.line(), "", "the end of a chunk");
                if size == 0 {
                    break;
                }
            }
        } else if response.status != 304 {
            self.0.read_to_end(&mut response.body).unwrap();
        }
        response
    }

    /// The next response's head, whatever its request was.
    pub fn head(&mut self) -> Response {
        let line = self.line();
        let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let status = status.unwrap_or_else(|| panic!("status line {line:?}"));
        let mut headers = Vec::new();
        loop {
            let line = self.line();
            if line.is_empty() {
                return Response { status, headers, body: Vec::new() };
            }
            let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("header {line:?}"));
            headers.push((name.to_owned(), value.to_owned()));
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.strip_suffix("\r\n").unwrap_or_else(|| panic!("line {line:?}")).to_owned()
    }
}

/// What the server answered.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    /// The value of a header, which must not be there twice.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|header| header.0 == name);
        let value = values.next();
        assert!(values.next().is_none(), "{name} twice in {:?}", self.headers);
        value.map(|header| header.1.as_str())
    }

    pub fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }
}

/// Runs `prepare` in the child before the program starts.
pub fn in_child(command: &mut Command, prepare: fn() -> io::Result<()>) {
    // SAFETY: the callers' functions make system calls only.
    unsafe { command.pre_exec(prepare) };
}

/// Sets how many descriptors this process, or the child it is called in, may have: `None` for all that it
/// is allowed to allow itself. Returns how many those are.
pub fn limit_descriptors(limit: Option<u64>) -> io::Result<u64> {
    let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: getrlimit(2) fills `now`, setrlimit(2) reads it.
    let result = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut now);
        now.rlim_cur = limit.unwrap_or(now.rlim_max);
        libc::setrlimit(libc::RLIMIT_NOFILE, &now)
    };
    if result == 0 { Ok(now.rlim_cur) } else { Err(io::Error::last_os_error()) }
}
