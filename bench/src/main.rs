//! netpoll beside others that do the same: `cargo run --release -p bench -- --quick`. `README.md` in this
//! package says what is measured, and how.
//!
//! | file | what |
//! |---|---|
//! | `options.rs` | the command line |
//! | `peers.rs`, `server.rs` | who is measured; servers as processes |
//! | `load.rs`, `os.rs` | the load generator, and its system calls |
//! | `rounds.rs` | in turns, medians, noise |
//! | `latency.rs` | tables and plots of servers under load |
//! | `costs.rs`, `calls.rs` | system calls, idle connections, start-up |
//! | `growth.rs` | from 1 to 100,000 |
//! | `nginx.rs` | httpd beside nginx |
//! | `table.rs`, `plot.rs`, `report.rs` | how it is shown |

mod calls;
mod costs;
mod growth;
mod latency;
mod load;
mod nginx;
mod options;
mod os;
mod peers;
mod plot;
mod report;
mod rounds;
mod server;
mod table;

use options::{Options, Part};
use report::Report;
use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> io::Result<()> {
    let descriptors = os::raise_descriptor_limit();
    let peers = options.chosen(peers::build()?)?;
    // Only now: the compiler may have all CPUs.
    os::pin(os::CLIENT_CPU)?;
    let mut report = Report::create(options)?;
    for part in &options.parts {
        match part {
            Part::Load => latency::closed(&mut report, &peers, options, descriptors)?,
            Part::Open => latency::open(&mut report, &peers, options)?,
            Part::Costs => {
                let table = costs::table(&peers, &options.costs);
                report.section("Costs that do not depend on load", &table)?;
            }
            Part::Growth => growth::run(&mut report, &peers, options, descriptors)?,
            Part::Nginx => nginx::run(&mut report, options)?,
        }
    }
    report.end()
}
