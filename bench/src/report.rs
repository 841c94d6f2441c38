//! What comes out: everything is printed, and goes into the folder `results` beside the sources.

use crate::options::Options;
use crate::peers::run;
use crate::plot::Plot;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

pub struct Report {
    folder: PathBuf,
    table: File,
    start: Instant,
}

impl Report {
    pub fn create(options: &Options) -> io::Result<Report> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
        fs::create_dir_all(&folder)?;
        let table = File::create(folder.join("table.md"))?;
        let mut report = Report { folder, table, start: Instant::now() };
        let head = format!("# Measured\n\n`bench {}`, {}, {}", options.line, date(), machine());
        report.print(&head)?;
        Ok(report)
    }

    /// A table with its title.
    pub fn section(&mut self, title: &str, table: &str) -> io::Result<()> {
        self.print(&format!("\n## {title}\n\n{table}"))
    }

    pub fn plot(&mut self, name: &str, plot: &Plot) -> io::Result<()> {
        fs::write(self.folder.join(name).with_extension("svg"), plot.render())
    }

    pub fn end(mut self) -> io::Result<()> {
        let took = self.start.elapsed().as_secs();
        self.print(&format!("\nThis took {took} s; the load average is {} now.", load_average()))?;
        println!("Tables and plots are in {}.", self.folder.display());
        Ok(())
    }

    fn print(&mut self, text: &str) -> io::Result<()> {
        println!("{text}");
        writeln!(self.table, "{text}")
    }
}

fn date() -> String {
    let output = Command::new("date").arg("+%Y-%m-%d %H:%M").output();
    output
        .map_or_else(|_| "no date".to_owned(), |date| String::from_utf8_lossy(&date.stdout).trim().to_owned())
}

fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown CPU");
    let model = model.split_once(": ").map_or(model, |parts| parts.1);
    let count = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{count} CPUs ({model}), Linux {}, load average {}", kernel.trim(), load_average())
}

fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("unknown").to_owned()
}

/// Whether a program can be run at all.
pub fn is_installed(program: &str) -> bool {
    run(Command::new("sh").args(["-c", &format!("command -v {program} >/dev/null")])).is_ok()
}
