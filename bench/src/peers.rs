//! Who is measured, and how the programs are built: all in profile `release`, as a user would.

use crate::server::Peer;
use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// All ratios are to this peer.
pub const FLOOR: &str = "floor";

const NETPOLL: &str = "netpoll";

/// One thread for all tasks.
const NETPOLL_ENV: &[(&str, &str)] = &[("NETPOLL_THREADS", "1")];

/// The folder that the package `netpoll` is in.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("bench is inside").to_path_buf()
}

/// The folder of the programs: that of this one.
pub fn programs() -> io::Result<PathBuf> {
    Ok(env::current_exe()?.parent().expect("a program is in a folder").to_path_buf())
}

/// Builds all programs, and says which peers there are.
pub fn build() -> io::Result<Vec<Peer>> {
    let folder = programs()?;
    cargo(&["-p", "bench", "--bins"])?;
    cargo(&["-p", "netpoll", "--bin", "srv", "--bin", "micro", "--bin", "httpd"])?;
    let peer = |name, program: &str, env| Peer { name, program: folder.join(program), env };
    let mut peers = vec![
        peer(FLOOR, "peer-floor", &[]),
        peer("floor-own", "peer-floor", &[("PEER_FLOOR", "own")]),
        peer(NETPOLL, "srv", NETPOLL_ENV),
        peer("tokio", "peer-tokio", &[]),
        peer("tokio-current", "peer-tokio", &[("PEER_TOKIO", "current")]),
        peer("may", "peer-may", &[]),
    ];
    match go(&folder.join("peer-go")) {
        Ok(()) => peers.push(peer("go", "peer-go", &[("GOMAXPROCS", "1")])),
        Err(error) => eprintln!("without Go: {error}"),
    }
    Ok(peers)
}

fn cargo(packages: &[&str]) -> io::Result<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    run(Command::new(cargo).args(["build", "--release", "--quiet"]).args(packages).current_dir(root()))
}

/// Builds the peer in Go, by `$GO` or the `go` that is found.
fn go(program: &Path) -> io::Result<()> {
    let go = env::var_os("GO").unwrap_or_else(|| "go".into());
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/go");
    let mut command = Command::new(&go);
    command.args(["build", "-trimpath", "-o"]).arg(program).arg(".").current_dir(source);
    // No other version is fetched than the one that is here.
    run(command.env("GOTOOLCHAIN", "local").env("GOFLAGS", "-mod=mod").env("GOWORK", "off"))
}

/// Runs a command that must succeed.
pub fn run(command: &mut Command) -> io::Result<()> {
    match command.stdin(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(io::Error::other(format!("{:?}: {status}", command.get_program()))),
        Err(error) => Err(io::Error::new(error.kind(), format!("{:?}: {error}", command.get_program()))),
    }
}
