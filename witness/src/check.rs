//! What a test says of a trace. Each assertion panics with the calls that contradict it.

use std::fmt;

use crate::{Call, Outcome, Trace, names};

/// A call that a test expects: a name, and as much of the rest as matters.
#[derive(Clone, Debug)]
pub struct Expected {
    name: String,
    /// The bits that are looked at, and what they are.
    args: [Option<(u64, u64)>; 6],
    shown: [Option<String>; 6],
    outcome: Option<Outcome>,
}

/// Expects a call of this name, with any arguments and any outcome.
///
/// # Panics
/// If no call has this name: the expectation would hold of nothing, or of everything.
pub fn call(name: &str) -> Expected {
    assert!(names::number(name).is_some(), "no system call is called {name}");
    Expected { name: name.to_owned(), args: [None; 6], shown: Default::default(), outcome: None }
}

impl Expected {
    /// The register of argument `index` (from 0) holds these 64 bits, of which a negative number has the sign.
    #[track_caller]
    pub fn arg(mut self, index: usize, value: i64) -> Expected {
        self.args[index] = Some((u64::MAX, value as u64));
        self
    }

    /// The lower half of argument `index`'s register holds this. Of a C `int` the kernel reads no more, and what
    /// is above it is a compiler's choice.
    #[track_caller]
    pub fn int(mut self, index: usize, value: i32) -> Expected {
        self.args[index] = Some((u32::MAX.into(), (value as u32).into()));
        self
    }

    /// Argument `index` (from 0) is shown as this: `EPOLL_CTL_ADD`, `127.0.0.1:80`.
    #[track_caller]
    pub fn shown(mut self, index: usize, text: &str) -> Expected {
        self.shown[index] = Some(text.to_owned());
        self
    }

    /// It returns this.
    pub fn returns(mut self, value: i64) -> Expected {
        self.outcome = Some(Outcome::Value(value));
        self
    }

    /// It fails with this error number.
    pub fn fails(mut self, error: i32) -> Expected {
        self.outcome = Some(Outcome::Error(error));
        self
    }

    /// Whether `call` is as expected.
    pub fn is(&self, call: &Call) -> bool {
        let shown = |i: usize| call.shown.get(i);
        call.name() == self.name
            && self
                .args
                .iter()
                .zip(&call.args)
                .all(|(want, arg)| want.is_none_or(|(mask, want)| arg & mask == want))
            && (0..6).all(|i| self.shown[i].is_none() || self.shown[i].as_ref() == shown(i))
            && self.outcome.is_none_or(|outcome| outcome == call.outcome)
    }
}

impl From<&str> for Expected {
    fn from(name: &str) -> Expected {
        call(name)
    }
}

/// `close(-7) = -1 EBADF`, with `_` for what does not matter.
impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = (0..6).rev().find(|&i| self.args[i].is_some() || self.shown[i].is_some());
        let args: Vec<_> = (0..last.map_or(0, |last| last + 1))
            .map(|i| match (&self.shown[i], self.args[i]) {
                (Some(text), _) => text.clone(),
                (_, Some((u64::MAX, value))) => names::hex(value),
                (_, Some((_, value))) => (value as i32).to_string(),
                _ => "_".to_owned(),
            })
            .collect();
        let args = if args.is_empty() { "..".to_owned() } else { args.join(", ") };
        write!(f, "{}({args})", self.name)?;
        match self.outcome {
            Some(Outcome::Value(value)) => write!(f, " = {value}"),
            Some(Outcome::Error(error)) => write!(f, " = -1 {}", names::error(error)),
            Some(Outcome::Pending) => f.write_str(" = ?"),
            None => Ok(()),
        }
    }
}

impl Trace {
    /// The calls are these, in this order, and no others.
    #[track_caller]
    pub fn assert_sequence<E: Into<Expected>>(&self, expected: impl IntoIterator<Item = E>) {
        let expected: Vec<Expected> = expected.into_iter().map(Into::into).collect();
        let same = expected.len() == self.calls.len();
        if !same || !expected.iter().zip(&self.calls).all(|(expected, call)| expected.is(call)) {
            panic!("other calls than expected (- expected, + made):\n{}", diff(&expected, &self.calls));
        }
    }

    /// No call is made but those with these names. Not all of them need be.
    #[track_caller]
    pub fn assert_only(&self, allowed: &[&str]) {
        let allowed: Vec<u64> = allowed.iter().map(|name| known(name)).collect();
        self.refuse("not allowed", |call| !allowed.contains(&call.nr));
    }

    /// No call of this name is made.
    #[track_caller]
    pub fn assert_never(&self, name: &str) {
        let nr = known(name);
        self.refuse("not expected", |call| call.nr == nr);
    }

    /// Every call of this name, of which there must be one, has these 64 bits in the register of argument
    /// `index` (from 0).
    #[track_caller]
    pub fn assert_arg(&self, name: &str, index: usize, value: i64) {
        let nr = known(name);
        assert!(self.calls.iter().any(|call| call.nr == nr), "no {name} in\n{}", lines(&self.calls));
        let what = format!("argument {index} of {name} is not {value}");
        self.refuse(&what, |call| call.nr == nr && call.args[index] != value as u64);
    }

    /// For each of `requests`, on average, there are at most `most` calls of this name.
    #[track_caller]
    pub fn assert_at_most(&self, name: &str, most: usize, requests: usize) {
        let nr = known(name);
        let made = self.calls.iter().filter(|call| call.nr == nr).count();
        assert!(
            made <= most * requests,
            "{made} calls of {name} for {requests} requests, more than {most} for each:\n{}",
            self.table()
        );
    }

    #[track_caller]
    fn refuse(&self, why: &str, is_wrong: impl Fn(&Call) -> bool) {
        let wrong: Vec<_> = self.calls.iter().filter(|call| is_wrong(call)).cloned().collect();
        assert!(wrong.is_empty(), "{why}, {} of {} calls:\n{}", wrong.len(), self.calls.len(), lines(&wrong));
    }
}

#[track_caller]
fn known(name: &str) -> u64 {
    names::number(name).unwrap_or_else(|| panic!("no system call is called {name}"))
}

/// Calls that a message has room for.
const ROOM: usize = 40;

fn lines(calls: &[Call]) -> String {
    let mut text: String = calls.iter().take(ROOM).map(|call| format!("  {call}\n")).collect();
    if calls.len() > ROOM {
        text += &format!("  and {} more\n", calls.len() - ROOM);
    }
    text
}

/// The longest common subsequence, with what is missing (`-`) and what is too much (`+`, with its registers)
/// around it.
fn diff(expected: &[Expected], calls: &[Call]) -> String {
    // common[i][j]: length of what `expected[i..]` and `calls[j..]` have in common.
    let mut common = vec![vec![0u32; calls.len() + 1]; expected.len() + 1];
    for i in (0..expected.len()).rev() {
        for j in (0..calls.len()).rev() {
            common[i][j] = match expected[i].is(&calls[j]) {
                true => common[i + 1][j + 1] + 1,
                false => common[i + 1][j].max(common[i][j + 1]),
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut text = String::new();
    while i < expected.len() || j < calls.len() {
        if i < expected.len() && j < calls.len() && expected[i].is(&calls[j]) {
            text += &format!("  {}\n", calls[j]);
            (i, j) = (i + 1, j + 1);
        } else if j == calls.len() || i < expected.len() && common[i + 1][j] >= common[i][j + 1] {
            text += &format!("- {}\n", expected[i]);
            i += 1;
        } else {
            let known = calls[j].shown.len();
            text += &format!("+ {}    {:x?}\n", calls[j], &calls[j].args[..known]);
            j += 1;
        }
    }
    text
}
