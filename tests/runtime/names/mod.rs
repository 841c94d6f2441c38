//! Names of hosts: a program that looks them up and connects, and name servers here that answer well,
//! late, wrongly or not at all.

mod connect;
mod server;

use crate::harness::{PROFILES, Profile, passes, run, scenario};
use server::{
    A, AAAA, Asked, CNAME, NXDOMAIN, REFUSED, SERVFAIL, Server, TRUNCATED, now, record, serve, wire,
};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const HERE: &str = "127.0.0.1";

scenarios! {
    system_names
    names_of_peers
    names_that_are_none
}

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A file with this text, for the length of a test.
struct Temporary(PathBuf);

impl Temporary {
    fn new(text: &str) -> Temporary {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("names-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::write(&path, text).unwrap();
        Temporary(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// What came of one name: how long it took, and the addresses, or the error behind a `!`.
#[derive(Debug)]
struct Found {
    took: Duration,
    what: String,
}

/// Runs `what` on `names`, with these files and servers.
#[track_caller]
fn ask(
    profile: Profile,
    what: &str,
    hosts: &str,
    conf: &str,
    port: u16,
    limit: u64,
    names: &[&str],
) -> Vec<Found> {
    let (hosts, conf) = (Temporary::new(hosts), Temporary::new(conf));
    let mut command = scenario(profile, what);
    command.args([hosts.path(), conf.path(), &port.to_string(), &limit.to_string()]).args(names);
    let outcome = run(&mut command);
    outcome.exited(0);
    let lines: Vec<_> = outcome.stdout.lines().collect();
    let (last, lines) = lines.split_last().unwrap();
    assert_eq!((*last, lines.len(), &*outcome.stderr), (&*format!("ok {what}"), names.len(), ""));
    let found = lines.iter().zip(names).map(|(line, name)| {
        let line = line.strip_prefix(name).unwrap().trim_start();
        let (took, what) = line.split_once(' ').unwrap_or((line, ""));
        Found { took: ms(took.parse().unwrap()), what: what.to_owned() }
    });
    found.collect()
}

/// Looks up `names` with a server on this machine, and `conf` besides.
#[track_caller]
fn resolve(server: &Server, conf: &str, names: &[&str]) -> Vec<Found> {
    let conf = format!("nameserver {HERE}\n{conf}");
    ask(Profile::Release, "resolve", "", &conf, server.port, 0, names)
}

/// Makes a trial until it takes no longer than `most`. On a loaded machine that may take some; a program that waits for
/// what it should not wait for needs longer each time.
#[track_caller]
fn within(most: Duration, mut trial: impl FnMut() -> Found) -> Found {
    let found = (0..20).map(|_| trial()).find(|found| found.took < most);
    found.unwrap_or_else(|| panic!("it takes {most:?} each time"))
}

#[track_caller]
fn resolves(server: &Server, conf: &str, name: &str, expected: &str) -> Found {
    let found = resolve(server, conf, &[name]).remove(0);
    assert_eq!(found.what, expected, "{name}");
    found
}

#[test]
fn a_name_has_addresses_of_both_families() {
    for profile in PROFILES {
        let server =
            serve(&[HERE], |asked| now(asked.reply(0, &[asked.record(1), asked.record(2), asked.record(3)])));
        let conf = format!("nameserver {HERE}");
        let names = ["Host.Test", "host.test.", "x"];
        for found in ask(profile, "resolve", "", &conf, server.port, 0, &names) {
            assert_eq!(found.what, "fd00::1 10.0.0.1 fd00::2 10.0.0.2 fd00::3 10.0.0.3");
        }
        let log = server.log();
        assert_eq!((log.len(), server.askers()), (6, 3), "{log:?}");
        assert_eq!(server.names(), ["Host.Test", "host.test", "x"]);
        let mut ids: Vec<_> = log.iter().map(Asked::id).collect();
        ids.sort();
        ids.dedup();
        assert!(ids.len() >= 5, "{ids:?}"); // two of six may be the same, once in 4,000 runs
    }
}

#[test]
fn files_and_what_needs_nobody() {
    let server = serve(&[HERE], |asked| now(asked.address(1)));
    let hosts = "# comment\n127.0.0.1\tlocalhost\n10.1.1.1 one.test one # two\nfd01::1%4 ONE.test.\n\
         10.1.1.2 one.test\n\
         10.1.1.3 two.test\n10.1.1.1 one.test\nbad one.test\n";
    let conf = format!("nameserver {HERE}");
    for (name, expected) in [
        ("one.test", "fd01::1%4 10.1.1.1 10.1.1.2"),
        ("One.Test.", "fd01::1%4 10.1.1.1 10.1.1.2"),
        ("one", "10.1.1.1"),
        ("two", "fd00::1 10.0.0.1"),
        ("localhost", "127.0.0.1"),
        ("a.LOCALHOST.", "::1 127.0.0.1"),
        ("10.9.9.9", "10.9.9.9"),
        ("fe80::1%lo", "fe80::1%1"),
        ("fe80::1%3", "fe80::1%3"),
        ("10.9.9.999", "!not an ADDRESS:PORT"),
        ("a.onion", "!no such host"),
    ] {
        let found = ask(Profile::Release, "resolve", hosts, &conf, server.port, 0, &[name]);
        assert_eq!(found[0].what, expected, "{name}");
    }
    assert_eq!(server.names(), ["two"]);
}

#[test]
fn without_files() {
    // The server is then that of this machine, and the only domain its own, which is unknown here.
    let server = serve(&[HERE], |asked| now(asked.address(1)));
    let mut command = scenario(Profile::Release, "resolve");
    command.args(["/nowhere/hosts", "/dev/null/conf", &server.port.to_string(), "0", "a.test", "localhost"]);
    let outcome = run(&mut command);
    let mut lines = outcome.exited(0).stdout.lines();
    assert!(lines.next().unwrap().ends_with(" fd00::1 10.0.0.1"), "{outcome:?}");
    assert!(lines.next().unwrap().ends_with(" ::1 127.0.0.1"), "{outcome:?}");
}

#[test]
fn a_file_that_cannot_be_read_is_an_error() {
    let mut command = scenario(Profile::Release, "resolve");
    command.args(["/", "/", "1", "0", "a.test"]);
    assert!(run(&mut command).exited(0).stdout.contains(" !read: EISDIR\n"));
}

/// Each of these comes first, and changes nothing.
#[test]
fn other_answers_are_passed_over() {
    let change = |at: usize, bits: u8| {
        move |asked: &Asked| {
            let mut message = asked.address(9);
            message[at] ^= bits;
            message
        }
    };
    let kind = |asked: &Asked| Asked { kind: 29 - asked.kind, ..asked.clone() }.address(9);
    type Wrong = Box<dyn Fn(&Asked) -> Vec<u8> + Send + Sync>;
    let wrong: Vec<(&str, Wrong)> = vec![
        ("id", Box::new(change(1, 1))),
        ("a query", Box::new(|asked| asked.query.clone())),
        ("opcode", Box::new(change(2, 8))),
        ("no question", Box::new(change(5, 1))),
        ("another name", Box::new(change(13, 1))),
        (
            "the type",
            Box::new(move |asked| {
                let mut message = kind(asked);
                let end = message.len() - 4 - 12 - if asked.kind == A { 16 } else { 4 };
                message[end + 1] = (29 - asked.kind) as u8;
                message
            }),
        ),
        ("empty", Box::new(|_| Vec::new())),
        ("garbage", Box::new(|_| vec![0xff; 300])),
        ("cut off", Box::new(|asked| asked.address(9)[..20].to_vec())),
    ];
    for (what, wrong) in wrong {
        let server =
            serve(&[HERE], move |asked| vec![(Duration::ZERO, wrong(asked)), (ms(20), asked.address(1))]);
        let found = resolves(&server, "options attempts:1 timeout:5", "name.test", "fd00::1 10.0.0.1");
        assert!(found.took >= ms(19), "{what}: {found:?}");
        assert_eq!(server.log().len(), 2, "{what}");
    }
}

/// An answer from somebody else does not come in, though everything else in it is right.
#[test]
fn only_the_server_is_heard() {
    let server = serve(&[HERE], |asked| {
        let other = std::net::UdpSocket::bind((HERE, 0)).unwrap();
        // Refused, for the asker's socket is connected.
        let _ = other.send_to(&asked.address(9), asked.from);
        vec![(ms(20), asked.address(1))]
    });
    resolves(&server, "options attempts:1", "name.test", "fd00::1 10.0.0.1");
}

#[test]
fn letters_may_change_their_case() {
    let server = serve(&[HERE], |asked| {
        let mut message = asked.address(1);
        message[12..].iter_mut().take(asked.name.len()).for_each(|byte| {
            *byte =
                if byte.is_ascii_lowercase() { byte.to_ascii_uppercase() } else { byte.to_ascii_lowercase() };
        });
        now(message)
    });
    resolves(&server, "", "nAmE.test", "fd00::1 10.0.0.1");
}

#[test]
fn late_answers_count_and_each_comes_when_it_comes() {
    let server =
        serve(&[HERE], |asked| vec![(ms(if asked.kind == A { 300 } else { 100 }), asked.address(1))]);
    let found = resolves(&server, "", "name.test", "fd00::1 10.0.0.1");
    assert!(found.took >= ms(299), "{found:?}");
    assert_eq!((server.log().len(), server.askers()), (2, 1));
}

#[test]
fn truncated_answers_come_over_tcp() {
    for kind in [A, AAAA] {
        let server = serve(&[HERE], move |asked| match asked.tcp {
            false if asked.kind == kind => now(asked.reply(TRUNCATED, &[asked.record(9)])),
            _ => now(asked.address(1)),
        });
        resolves(&server, "", "name.test", "fd00::1 10.0.0.1");
        let over_tcp: Vec<_> = server.log().into_iter().filter(|asked| asked.tcp).collect();
        assert_eq!((over_tcp.len(), over_tcp[0].kind), (1, kind));
    }
}

/// More than anybody has room for: the beginning counts.
#[test]
fn a_long_answer() {
    let server = serve(&[HERE], |asked| {
        let records: Vec<_> = (1..=250).map(|n| asked.record(n)).collect();
        now(asked.reply(if asked.tcp { 0 } else { TRUNCATED }, if asked.tcp { &records } else { &[] }))
    });
    let expected: Vec<_> = (1..=16).map(|n| format!("fd00::{n:x} 10.0.0.{n}")).collect();
    resolves(&server, "", "name.test", &expected.join(" "));
}

#[test]
fn tcp_only() {
    let server = serve(&[HERE], |asked| if asked.tcp { now(asked.address(1)) } else { vec![] });
    resolves(&server, "options use-vc", "name.test", "fd00::1 10.0.0.1");
    assert!(server.log().iter().all(|asked| asked.tcp));
}

/// Over TCP, too, a server can be silent, wrong, or gone: it is the next one's turn.
#[test]
fn tcp_goes_wrong() {
    for wrong in 0..5 {
        let server = serve(&[HERE, "127.0.0.2"], move |asked| {
            let first = asked.server.to_string() == HERE;
            match (asked.tcp, first) {
                (false, true) => now(asked.reply(TRUNCATED, &[])),
                (true, true) => match wrong {
                    0 => vec![],                           // the end
                    1 => now(vec![0; 30]),                 // somebody else's
                    2 => now(asked.reply(TRUNCATED, &[])), // still too long
                    3 => now(asked.reply(SERVFAIL, &[])),
                    _ => vec![(ms(1500), asked.address(9))], // too late
                },
                _ => now(asked.address(1)),
            }
        });
        let conf = "nameserver 127.0.0.2\noptions timeout:1";
        resolves(&server, conf, "name.test", "fd00::1 10.0.0.1");
    }
}

#[test]
fn aliases() {
    let server = serve(&[HERE], |asked| {
        let (b, c) = (wire("b.test"), wire("c.example"));
        let end = |kind: u16| record(&c, kind, &asked.record(1)[12..]);
        match &*asked.name {
            "a.test" => {
                now(asked.reply(0, &[end(asked.kind), record(&[0xc0, 12], CNAME, &b), record(&b, CNAME, &c)]))
            }
            "loop.test" => {
                now(asked.reply(0, &[record(&[0xc0, 12], CNAME, &b), record(&b, CNAME, &wire("loop.test"))]))
            }
            _ => now(asked.reply(0, &[record(&[0xc0, 12], CNAME, &b)])),
        }
    });
    resolves(&server, "", "a.test", "fd00::1 10.0.0.1");
    resolves(&server, "options attempts:1", "loop.test", "!name server failed");
    resolves(&server, "", "nowhere.test", "!no such host");
}

#[test]
fn search_list() {
    for (conf, name, asked) in [
        ("search a.x b.x", "host", &["host.a.x", "host.b.x", "host"][..]),
        ("search a.x b.x", "host.", &["host"]),
        ("search a.x b.x", "two.dots", &["two.dots", "two.dots.a.x", "two.dots.b.x"]),
        ("search a.x\noptions ndots:2", "two.dots", &["two.dots.a.x", "two.dots"]),
        ("search a.x\noptions ndots:0", "host", &["host", "host.a.x"]),
        ("domain d.x", "host", &["host.d.x", "host"]),
        ("search a.x\ndomain d.x", "host", &["host.d.x", "host"]),
        ("search .", "host", &["host", "host"]),
    ] {
        let server = serve(&[HERE], |asked| now(asked.reply(NXDOMAIN, &[])));
        resolves(&server, conf, name, "!no such host");
        assert_eq!(server.names(), asked, "{conf}");
    }
    // Until there is one; and what has no addresses is as good as none.
    let server = serve(&[HERE], |asked| match &*asked.name {
        "host.b.x" => now(asked.address(1)),
        _ => now(asked.reply(0, &[])),
    });
    resolves(&server, "search a.x b.x c.x", "host", "fd00::1 10.0.0.1");
    assert_eq!(server.names(), ["host.a.x", "host.b.x"]);
}

/// Else it would be somebody else's host while the server is down.
#[test]
fn a_failure_ends_the_search() {
    let server = serve(&[HERE], |asked| match &*asked.name {
        "host.a.x" => now(asked.reply(SERVFAIL, &[])),
        _ => now(asked.address(1)),
    });
    resolves(&server, "search a.x b.x\noptions attempts:1", "host", "!name server failed");
    assert_eq!(server.names(), ["host.a.x"]);
}

#[test]
fn one_family_is_enough() {
    for (kind, expected) in [(A, "10.0.0.1"), (AAAA, "fd00::1")] {
        for flags in [0, NXDOMAIN, SERVFAIL] {
            let server = serve(&[HERE], move |asked| {
                now(if asked.kind == kind { asked.address(1) } else { asked.reply(flags, &[]) })
            });
            resolves(&server, "options attempts:1", "name.test", expected);
        }
    }
}

#[test]
fn the_next_server_is_asked() {
    let addrs = [HERE, "127.0.0.2", "127.0.0.3"];
    let conf = "nameserver 127.0.0.2\nnameserver 127.0.0.3\noptions timeout:1";
    for wrong in [SERVFAIL, REFUSED, 1, 4, u16::MAX] {
        let ask = || {
            let server = serve(&addrs, move |asked| match (&*asked.server.to_string(), wrong) {
                ("127.0.0.3", _) => now(asked.address(1)),
                (_, u16::MAX) => vec![],
                _ => now(asked.reply(wrong, &[])),
            });
            let found = resolves(&server, conf, "name.test", "fd00::1 10.0.0.1");
            assert_eq!((server.log().len(), server.askers()), (6, 3));
            found
        };
        if wrong == u16::MAX {
            assert!(ask().took >= ms(1999), "nobody has answered so far");
        } else {
            within(ms(900), ask);
        }
    }
    // A broken answer; one whose server is lame; and nobody at all, which the kernel tells.
    for wrong in 0..2 {
        let answer = move |asked: &Asked| {
            let mut message = asked.address(1);
            match (&*asked.server.to_string(), wrong) {
                ("127.0.0.3", _) => {}
                // What is before it does not count, either.
                (_, 0) => {
                    message = asked.reply(0, &[asked.record(9), asked.record(9)]);
                    message.pop();
                }
                _ => {
                    message = asked.reply(0, &[]);
                    message[3] = 0;
                }
            }
            now(message)
        };
        // That 127.0.0.2 refuses costs no time, either.
        within(ms(900), || {
            let server = serve(&[HERE, "127.0.0.3"], answer);
            let found = resolves(&server, conf, "name.test", "fd00::1 10.0.0.1");
            assert_eq!(server.log().len(), 4);
            found
        });
    }
}

#[test]
fn only_what_is_open_is_asked_again() {
    let server = serve(&[HERE], |asked| if asked.kind == A { now(asked.address(1)) } else { vec![] });
    let found = resolves(&server, "options timeout:1 attempts:3", "name.test", "10.0.0.1");
    assert!(found.took >= ms(2999), "{found:?}");
    let kinds: Vec<_> = server.log().iter().map(|asked| asked.kind).collect();
    assert_eq!((kinds, server.askers()), (vec![A, AAAA, AAAA, AAAA], 3));
}

#[test]
fn nobody_answers() {
    let server = serve(&[HERE, "127.0.0.2"], |_| vec![]);
    let conf = "nameserver 127.0.0.2\noptions timeout:1 attempts:2";
    let found = resolves(&server, conf, "name.test", "!no answer from a name server");
    assert!(found.took >= ms(3999), "{found:?}");
    let servers: Vec<_> = server.log().iter().step_by(2).map(|asked| asked.server.to_string()).collect();
    assert_eq!(servers, [HERE, "127.0.0.2", HERE, "127.0.0.2"]);
}

#[test]
fn servers_in_turns() {
    let server = serve(&[HERE, "127.0.0.2", "127.0.0.3"], |asked| now(asked.address(1)));
    let conf = "nameserver 127.0.0.2\nnameserver 127.0.0.3\noptions rotate";
    resolve(&server, conf, &["a.test"; 40]);
    // That one has no turn happens once in 4 million runs.
    for addr in [HERE, "127.0.0.2", "127.0.0.3"] {
        assert!(server.log().iter().any(|asked| asked.server.to_string() == addr), "{addr}");
    }
}

#[test]
fn a_deadline_ends_the_lookup() {
    let silent = serve(&[HERE], |_| vec![]);
    let slow = serve(&[HERE], |asked| match asked.tcp {
        true => vec![(ms(500), asked.address(1))],
        false => now(asked.reply(TRUNCATED, &[])),
    });
    for server in [&silent, &slow] {
        let conf = format!("nameserver {HERE}");
        let names = ["name.test", "late.test"];
        let found = ask(Profile::Release, "resolve", "", &conf, server.port, 150, &names);
        assert_eq!((&*found[0].what, &*found[1].what), ("!deadline passed", "!deadline passed"));
        assert!(found[0].took >= ms(140), "{found:?}");
        // The second is not asked for: there is no time for it.
        assert!(server.names().iter().all(|name| name == "name.test"));
    }
}

/// Answers that are right up to the question, and noise behind it: some end comes of each.
#[test]
fn noise() {
    let state = AtomicU32::new(1);
    let server = serve(&[HERE], move |asked| {
        let random = || {
            let next = state.load(Ordering::Relaxed).wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.store(next, Ordering::Relaxed);
            next >> 16
        };
        let mut message =
            asked.reply(0, &[asked.record(1), record(&[0xc0, 12], CNAME, &wire("a.b")), asked.record(2)]);
        let tail = asked.query.len();
        for _ in 0..random() % 8 {
            let at = tail + random() as usize % (message.len() - tail);
            message[at] = [0xc0, 12, 0, random() as u8][random() as usize % 4];
        }
        message[7] = random() as u8;
        message.truncate(message.len() - random() as usize % 20);
        now(message)
    });
    let found = resolve(&server, "options attempts:1", &["name.test"; 300]);
    let good = found.iter().filter(|found| !found.what.starts_with('!')).count();
    assert!(good > 0 && good < 300, "{good}");
    // None is waited for until its time is up.
    assert!(found.iter().all(|found| found.what != "!no answer from a name server"), "{found:?}");
}

fn with_words<'a>(
    server: &'a Server,
    conf: &'a Temporary,
    names: &'a [&'a str],
) -> impl Fn(&mut std::process::Command) + 'a {
    move |command| {
        command.args(["/dev/null", conf.path(), &server.port.to_string(), "0"]).args(names);
    }
}

#[test]
fn by_the_hundred() {
    let server = serve(&[HERE], |asked| now(asked.address(1)));
    let conf = Temporary::new(&format!("nameserver {HERE}"));
    for threads in ["1", "4"] {
        let words = with_words(&server, &conf, &["a.test", "b.test", "c.test"]);
        passes("resolve_by_the_hundred", |command| words(command.env("NETPOLL_THREADS", threads)));
    }
    assert!(server.log().len() >= 800);
}

#[test]
fn without_descriptors() {
    let server = serve(&[HERE], |asked| match asked.name.starts_with("long") && !asked.tcp {
        true => now(asked.reply(TRUNCATED, &[])),
        false => now(asked.address(1)),
    });
    let conf = Temporary::new(&format!("nameserver {HERE}\noptions attempts:1"));
    passes("resolve_without_descriptors", with_words(&server, &conf, &["a.test", "long.test"]));
}
