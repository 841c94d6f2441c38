//! httpd beside nginx: the same files, the same client (wrk), each on the servers' CPU.

use crate::options::Options;
use crate::os;
use crate::peers;
use crate::report::{Report, is_installed};
use crate::rounds::median;
use crate::server::{Server, free_port, pinned};
use crate::table::{Table, digits};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file, its size, and by how many connections it is asked for.
const FILES: [(&str, usize, &[usize]); 2] =
    [("small.bin", 4 << 10, &[16, 128, 1024]), ("large.bin", 1 << 20, &[16])];

/// nginx as it is fast: one worker, the kernel's copy, files kept open. `{..}` are filled in.
const CONFIG: &str = "\
daemon off;
master_process off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log crit;
events { worker_connections 4096; use epoll; }
http {
    access_log off;
    sendfile on;
    tcp_nopush on;
    open_file_cache max=1000 inactive=60s;
    keepalive_timeout 60s;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server { listen 127.0.0.1:{port} backlog=4096; root {folder}/files; }
}
";

#[derive(Clone, Copy)]
enum Web {
    Httpd,
    Nginx,
}

/// Medians are taken of each.
struct Measured {
    cpu: f64,
    throughput: f64,
    p50: f64,
    p99: f64,
}

pub fn run(report: &mut Report, options: &Options) -> io::Result<()> {
    for program in ["nginx", "wrk"] {
        if !is_installed(program) {
            eprintln!("httpd-nginx is left out: {program} is not installed");
            return Ok(());
        }
    }
    let folder = std::env::temp_dir().join(format!("netpoll-bench-{}", std::process::id()));
    fs::create_dir_all(folder.join("files"))?;
    let result = compare(report, options, &folder);
    fs::remove_dir_all(&folder)?;
    result
}

fn compare(report: &mut Report, options: &Options, folder: &Path) -> io::Result<()> {
    let mut table = Table::new(&[
        "file",
        "connections",
        "server",
        "CPU us/req",
        "x nginx",
        "req/s",
        "MiB/s",
        "p50 us",
        "p99 us",
    ]);
    for (file, size, connections) in FILES {
        fs::write(folder.join("files").join(file), vec![b'x'; size])?;
        for &connections in connections {
            let mut rounds = Vec::new();
            for _ in 0..options.effort.rounds {
                let [httpd, nginx] =
                    [Web::Httpd, Web::Nginx].map(|web| measure(web, folder, file, connections, options));
                rounds.push((httpd?, nginx?));
            }
            let ratio = median(rounds.iter().map(|(httpd, nginx)| httpd.cpu / nginx.cpu).collect());
            for (name, ratio, of) in [("httpd", ratio, 0), ("nginx", 1.0, 1)] {
                let middle = |value: fn(&Measured) -> f64| {
                    median(rounds.iter().map(|pair| value(if of == 0 { &pair.0 } else { &pair.1 })).collect())
                };
                let throughput = middle(|sample| sample.throughput);
                table.row(vec![
                    file.to_owned(),
                    connections.to_string(),
                    name.to_owned(),
                    digits(middle(|sample| sample.cpu), 2),
                    digits(ratio, 2),
                    digits(throughput, 0),
                    digits(throughput * size as f64 / f64::from(1 << 20), 0),
                    digits(middle(|sample| sample.p50), 0),
                    digits(middle(|sample| sample.p99), 0),
                ]);
            }
        }
    }
    report.section("httpd beside nginx", &table.render())
}

fn measure(
    web: Web,
    folder: &Path,
    file: &str,
    connections: usize,
    options: &Options,
) -> io::Result<Measured> {
    let port = free_port()?;
    let server = Server::start(&mut command(web, folder, port)?, port)?;
    let url = format!("http://127.0.0.1:{port}/{file}");
    let before = os::cpu_time(server.pid())?;
    let seconds = options.effort.window.as_secs().max(1);
    // It inherits the client's CPU. Its connections' opening is in the figures, for both.
    let output = Command::new("wrk")
        .args(["-t1", &format!("-c{connections}"), &format!("-d{seconds}s"), "--latency", &url])
        .output()?;
    let cpu = (os::cpu_time(server.pid())? - before) as f64 / 1e3;
    let text = String::from_utf8_lossy(&output.stdout);
    let wrong = || io::Error::other(format!("wrk {url}: {output:?}"));
    if !output.status.success() || text.contains("Non-2xx") || text.contains("Socket errors") {
        return Err(wrong());
    }
    let words: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    let line =
        |first: &str| words.iter().find(|words| words.first() == Some(&first)).and_then(|words| words.get(1));
    let requests = words
        .iter()
        .find(|words| words.get(1) == Some(&"requests"))
        .and_then(|words| words[0].parse::<f64>().ok());
    let latency = |percent| line(percent).and_then(|word| micros(word));
    Ok(Measured {
        cpu: cpu / requests.ok_or_else(wrong)?,
        throughput: line("Requests/sec:").and_then(|word| word.parse().ok()).ok_or_else(wrong)?,
        p50: latency("50%").ok_or_else(wrong)?,
        p99: latency("99%").ok_or_else(wrong)?,
    })
}

fn command(web: Web, folder: &Path, port: u16) -> io::Result<Command> {
    let mut command = match web {
        Web::Httpd => {
            let mut command = Command::new(peers::programs()?.join("httpd"));
            command.arg("--root").arg(folder.join("files")).arg(format!("127.0.0.1:{port}"));
            command.env("NETPOLL_THREADS", "1");
            command
        }
        Web::Nginx => {
            let config = CONFIG.replace("{folder}", &folder.display().to_string());
            let path: PathBuf = folder.join("nginx.conf");
            fs::write(&path, config.replace("{port}", &port.to_string()))?;
            let mut command = Command::new("nginx");
            command.arg("-p").arg(folder).arg("-c").arg(path);
            command
        }
    };
    pinned(&mut command);
    Ok(command)
}

/// wrk's durations: `12.30us`, `1.20ms`, `1.00s`.
fn micros(word: &str) -> Option<f64> {
    let units = [("us", 1.0), ("ms", 1e3), ("s", 1e6)];
    let (number, unit) = units.iter().find_map(|(unit, us)| Some((word.strip_suffix(unit)?, us)))?;
    number.parse::<f64>().ok().map(|number| number * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_wrk() {
        assert_eq!(micros("12.50us"), Some(12.5));
        assert_eq!(micros("1.20ms"), Some(1200.0));
        assert_eq!(micros("2.00s"), Some(2e6));
        assert_eq!(micros("2.00"), None);
    }
}
