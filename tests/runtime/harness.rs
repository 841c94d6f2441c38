//! Builds the programs, once in each profile, and runs them.

#[path = "../support/package.rs"]
mod package;

use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

/// A scenario that takes this long hangs, on the slowest machine. The slowest takes two seconds on an idle one; what waits
/// within a scenario gives up after a minute, and says what did not come.
const LIMIT: Duration = Duration::from_secs(150);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Profile {
    /// With assertions.
    Debug,
    Release,
}

pub const PROFILES: [Profile; 2] = [Profile::Release, Profile::Debug];

/// Where the programs of a profile are.
fn folder(profile: Profile) -> &'static Path {
    static FOLDERS: [OnceLock<PathBuf>; 2] = [const { OnceLock::new() }; 2];
    FOLDERS[profile as usize].get_or_init(|| build(profile))
}

fn build(profile: Profile) -> PathBuf {
    let profile = match profile {
        Profile::Debug => "dev",
        Profile::Release => "release",
    };
    package::build(profile, &["-p", "programs"])
}

/// A program to run: `Command`, with what tests add to it.
pub fn program(profile: Profile, name: &str) -> Command {
    let mut command = Command::new(folder(profile).join(name));
    // Nothing of the environment that the tests run in.
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub fn scenario(profile: Profile, name: &str) -> Command {
    let mut command = program(profile, "scenario");
    command.arg(name);
    command
}

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    /// Ended by itself, with this status.
    #[track_caller]
    pub fn exited(&self, status: i32) -> &Outcome {
        assert_eq!(self.status.code(), Some(status), "{self:?}");
        self
    }

    #[track_caller]
    pub fn killed_by(&self, signal: i32) -> &Outcome {
        assert_eq!(self.status.signal(), Some(signal), "{self:?}");
        self
    }

    #[track_caller]
    pub fn printed(&self, stdout: &str, stderr: &str) -> &Outcome {
        assert_eq!((&*self.stdout, &*self.stderr), (stdout, stderr));
        self
    }
}

/// Runs `command` to its end, within the limit.
#[track_caller]
pub fn run(command: &mut Command) -> Outcome {
    let child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    finish(child).unwrap_or_else(|outcome| panic!("{command:?} hangs: {outcome:?}"))
}

/// Waits for a child that runs already; `Err` if it had to be killed.
pub fn finish(child: Child) -> Result<Outcome, Outcome> {
    finish_within(child, LIMIT)
}

pub fn finish_within(mut child: Child, limit: Duration) -> Result<Outcome, Outcome> {
    let stdout = child.stdout.take().map(collect);
    let stderr = child.stderr.take().map(collect);
    let start = Instant::now();
    let mut in_time = true;
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if start.elapsed() < limit => thread::sleep(Duration::from_millis(1)),
            None => {
                in_time = false;
                child.kill().unwrap();
                break child.wait().unwrap();
            }
        }
    };
    let text =
        |reader: Option<thread::JoinHandle<String>>| reader.map_or(String::new(), |r| r.join().unwrap());
    let outcome = Outcome { status, stdout: text(stdout), stderr: text(stderr) };
    if in_time { Ok(outcome) } else { Err(outcome) }
}

fn collect(mut from: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Runs a scenario that asserts from within, in both profiles.
#[track_caller]
pub fn passes(name: &str, prepare: impl Fn(&mut Command)) {
    for profile in PROFILES {
        let mut command = scenario(profile, name);
        prepare(&mut command);
        run(&mut command).exited(0).printed(&format!("ok {name}\n"), "");
    }
}

/// A test for each of these scenarios: it must end well, in both profiles.
macro_rules! scenarios {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            $crate::harness::passes(stringify!($name), |_| {});
        }
    )*};
}

/// Has `prepare` run in the child, between fork and exec.
///
/// # Safety
/// `prepare` must make system calls only: it runs beside the locks of threads that are not there.
pub unsafe fn in_child(command: &mut Command, prepare: fn() -> bool) {
    // SAFETY: the caller's contract.
    unsafe {
        command.pre_exec(move || if prepare() { Ok(()) } else { Err(std::io::Error::last_os_error()) });
    }
}
