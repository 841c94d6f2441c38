//! tokio: a task for each connection. One worker of the multi-threaded runtime, its usual one, or the
//! current-thread runtime if the environment has `PEER_TOKIO=current`.

mod common;

use common::{BUFFER, IDLE_BUFFER, Mode, answer};
use std::io;
use std::net::Ipv4Addr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

fn main() -> io::Result<()> {
    let (mode, port) = common::command_line();
    let mut builder = match std::env::var("PEER_TOKIO").as_deref() {
        Ok("current") => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    let runtime = builder.worker_threads(1).enable_io().build()?;
    // A task of its own, for what `block_on` runs is not on the worker.
    runtime.block_on(async { tokio::spawn(serve(mode, port)).await? })
}

async fn serve(mode: Mode, port: u16) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let _ = stream.set_nodelay(true); // it may be gone already, as the read will tell
        match mode {
            Mode::Echo => drop(tokio::spawn(echo(stream, BUFFER))),
            Mode::Idle => drop(tokio::spawn(echo(stream, IDLE_BUFFER))),
            Mode::Http => drop(tokio::spawn(http(stream))),
        }
    }
}

async fn echo(mut stream: TcpStream, size: usize) {
    let mut buf = vec![0; size];
    while let Ok(n @ 1..) = stream.read(&mut buf).await {
        if stream.write_all(&buf[..n]).await.is_err() {
            break;
        }
    }
}

async fn http(mut stream: TcpStream) {
    let (mut buf, mut out) = (vec![0; BUFFER], Vec::new());
    let mut filled = 0;
    while let Ok(n @ 1..) = stream.read(&mut buf[filled..]).await {
        filled += n;
        out.clear();
        let answered = answer(&buf[..filled], &mut out);
        buf.copy_within(answered.used..filled, 0);
        filled -= answered.used;
        if stream.write_all(&out).await.is_err() || !answered.keep {
            break;
        }
    }
}
