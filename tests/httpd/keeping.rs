//! Answers that are kept: `cache.rs` by itself, and files that change under the server's eyes.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use witness::{End, Witness};

use crate::cache::{Cache, LONGEST, PATH, SETS, WAYS};
use crate::clock::Moment;
use crate::connections::eventually;
use crate::server::{Client, Server, first_line, folder, get, httpd};

/// What is changed is seen after this long at the latest, `cache.rs` says.
const SEEN: Duration = Duration::from_secs(1);

const SECOND: i64 = 1_000_000_000;

// The cache

fn moment(unix: i64, elapsed: i64) -> Moment {
    Moment { unix, elapsed }
}

/// Keeps `answer`, of which two bytes are the head.
fn put(cache: &Cache, path: &str, now: Moment, answer: &str) {
    cache.put(path.as_bytes(), now, |place| {
        place[..answer.len()].copy_from_slice(answer.as_bytes());
        Some((2, answer.len() - 2))
    });
}

fn kept(cache: &Cache, path: &str, now: Moment) -> Option<String> {
    let kept = cache.get(path.as_bytes(), now)?;
    assert_eq!(kept.body_len() + 2, kept.bytes().len());
    Some(String::from_utf8(kept.bytes().to_vec()).unwrap())
}

#[test]
fn an_answer_is_kept_for_its_second() {
    static CACHE: Cache = Cache::new();
    assert_eq!(kept(&CACHE, "", moment(0, 0)), None);
    put(&CACHE, "a", moment(7, SECOND / 2), "h:answer");
    let answer = Some("h:answer".to_owned());
    for (path, now, expected) in [
        ("a", moment(7, SECOND / 2), &answer),
        ("a", moment(7, SECOND), &answer),
        ("a", moment(7, 0), &answer), // a request that was read before, and had to wait
        ("a", moment(8, SECOND), &None),
        ("a", moment(6, SECOND), &None),
        ("a", moment(7, 2 * SECOND), &None), // the time of day was set back
        ("b", moment(7, SECOND), &None),
        ("", moment(7, SECOND), &None),
        ("a/", moment(7, SECOND), &None),
    ] {
        assert_eq!(kept(&CACHE, path, now), *expected, "{path} {now:?}");
    }
    put(&CACHE, "a", moment(8, SECOND), "h:newer");
    assert_eq!(kept(&CACHE, "a", moment(8, SECOND)).as_deref(), Some("h:newer"));
    assert_eq!(kept(&CACHE, "a", moment(7, SECOND)), None);
}

#[test]
fn what_cannot_be_filled_or_named_is_not_kept() {
    static CACHE: Cache = Cache::new();
    let now = moment(1, 0);
    put(&CACHE, "a", now, "h:old");
    CACHE.put(b"a", moment(2, SECOND), |place| {
        assert_eq!(place.len(), LONGEST);
        place.fill(b'?');
        None
    });
    assert_eq!(kept(&CACHE, "a", now), None);
    assert_eq!(kept(&CACHE, "a", moment(2, SECOND)), None);

    let long = "x".repeat(PATH);
    put(&CACHE, &long, now, "h:long");
    assert_eq!(kept(&CACHE, &long, now).as_deref(), Some("h:long"));
    let longer = "x".repeat(PATH + 1);
    put(&CACHE, &longer, now, "h:longer");
    assert_eq!(kept(&CACHE, &longer, now), None);
}

#[test]
fn an_answer_that_is_held_stays_as_it_is() {
    static CACHE: Cache = Cache::new();
    put(&CACHE, "a", moment(1, 0), "h:first");
    let held = CACHE.get(b"a", moment(1, 0)).unwrap();
    for second in 2..9 {
        let now = moment(second, second * SECOND);
        put(&CACHE, "a", now, "h:next");
        assert_eq!(kept(&CACHE, "a", now).as_deref(), Some("h:next"), "at another place");
    }
    assert_eq!(held.bytes(), b"h:first");
    // Nobody waits for who is filling.
    CACHE.put(b"b", moment(9, 0), |_| {
        assert!(CACHE.get(b"b", moment(9, 0)).is_none());
        None
    });
}

#[test]
fn with_more_files_than_places_some_are_kept_and_all_are_right() {
    static CACHE: Cache = Cache::new();
    for second in 1..4 {
        let now = moment(second, second * SECOND);
        let name = |i: usize| format!("{second}/{i}");
        let all = 0..4 * SETS * WAYS;
        all.clone().for_each(|i| put(&CACHE, &name(i), now, &format!("h:{}", name(i))));
        let found = all.filter(|&i| {
            let answer = kept(&CACHE, &name(i), now);
            assert!(answer.as_ref().is_none_or(|answer| answer[2..] == name(i)), "{answer:?}");
            answer.is_some()
        });
        // Nearly all of its places are taken, whatever was there a second ago.
        let found = found.count();
        assert!((SETS * WAYS * 9 / 10..=SETS * WAYS).contains(&found), "{found}");
    }
}

// The server

fn content(client: &mut Client, target: &str) -> (u16, String) {
    client.send(get(target));
    let response = client.response();
    (response.status, String::from_utf8(response.body).unwrap())
}

fn replace(path: &Path, content: &str) {
    let new = path.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::rename(new, path).unwrap();
}

#[test]
fn a_file_that_changes_is_seen_within_a_second() {
    let root = folder("changes");
    let names = ["replaced", "written", "cut", "deleted", "moved", "closed", "swapped"];
    for name in names {
        fs::write(root.join(name), "before").unwrap();
    }
    fs::create_dir(root.join("dir")).unwrap();
    fs::write(root.join("dir/index.html"), "before").unwrap();
    let server = Server::start(&root);
    let mut client = server.connect();
    for _ in 0..3 {
        for name in names {
            assert_eq!(content(&mut client, &format!("/{name}")), (200, "before".to_owned()));
        }
        assert_eq!(content(&mut client, "/dir/"), (200, "before".to_owned()));
    }

    replace(&root.join("replaced"), "behind");
    fs::write(root.join("written"), "behind").unwrap();
    fs::File::options().write(true).open(root.join("cut")).unwrap().set_len(3).unwrap();
    fs::remove_file(root.join("deleted")).unwrap();
    fs::rename(root.join("moved"), root.join("there")).unwrap();
    fs::remove_file(root.join("closed")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", root.join("closed")).unwrap();
    fs::remove_file(root.join("swapped")).unwrap();
    fs::create_dir(root.join("swapped")).unwrap();
    fs::remove_file(root.join("dir/index.html")).unwrap();
    thread::sleep(SEEN);

    let mut is = |target: &str, status, text: &str| {
        let (found, body) = content(&mut client, target);
        assert!(found == status && body.contains(text), "{target}: {found} {body}");
    };
    is("/replaced", 200, "behind");
    is("/written", 200, "behind");
    is("/cut", 200, "bef");
    is("/deleted", 404, "");
    is("/moved", 404, "");
    is("/there", 200, "before");
    is("/closed", 403, "");
    is("/swapped", 301, "");
    is("/dir/", 200, "<ul>");
}

#[test]
fn what_is_kept_changes_no_other_answer() {
    let root = folder("variants");
    fs::write(root.join("a"), "content").unwrap();
    let server = Server::start(&root);
    let mut client = server.connect();
    for _ in 0..100 {
        client.send(get("/a"));
        let whole = client.response();
        assert_eq!((whole.status, whole.text()), (200, "content"));
        assert_eq!(whole.header("Connection"), None);
        let modified = whole.header("Last-Modified").unwrap().to_owned();

        client.send("HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(client.head().header("Content-Length"), Some("7"));
        client.send("GET /a HTTP/1.1\r\nHost: h\r\nRange: bytes=1-2\r\n\r\n");
        let part = client.response();
        assert_eq!((part.status, part.text()), (206, "on"));
        client.send(format!("GET /a HTTP/1.1\r\nHost: h\r\nIf-Modified-Since: {modified}\r\n\r\n"));
        assert_eq!(client.response().status, 304);
        client.send("GET /a?query HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(client.response().text(), "content");
        client.send("POST /a HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(client.response().status, 405);
        client.send("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        assert_eq!(client.response().header("Connection"), Some("keep-alive"));
    }
    client.send("GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    let last = client.response();
    assert_eq!((last.header("Connection"), last.text()), (Some("close"), "content"));
    assert!(client.is_at_end());
}

#[test]
fn more_files_than_are_kept_are_all_served_and_none_stays_open() {
    const FILES: usize = 1000;
    let root = folder("beyond");
    // Some of them too large to be kept, most with the head, some without.
    let text =
        |i: usize| format!("{i} {}", "x".repeat(if i.is_multiple_of(10) { LONGEST - 300 + i } else { i }));
    (0..FILES).for_each(|i| fs::write(root.join(i.to_string()), text(i)).unwrap());
    let server = Server::start(&root);
    let mut client = server.connect();
    assert_eq!(content(&mut client, "/0").0, 200);
    let before = server.descriptors();
    for i in (0..FILES).chain(0..FILES) {
        assert_eq!(content(&mut client, &format!("/{i}")), (200, text(i)), "{i}");
    }
    // A file is closed only behind its answer.
    eventually("descriptors of files", || server.descriptors() <= before);
}

#[test]
fn a_client_that_takes_nothing_keeps_no_other_from_what_is_new() {
    const REQUESTS: usize = 600; // 9 MB: more than the server's socket and a narrow client's hold
    let root = folder("holding");
    let (old, new) = ("o".repeat(15_000), "n".repeat(15_000));
    fs::write(root.join("a"), &old).unwrap();
    let server = Server::start(&root);
    let (mut slow, mut other) = (server.connect_narrow(), server.connect());
    let mut sender = slow.stream().try_clone().unwrap();
    // By a thread, because the server reads no more than it answers, and a socket of the host may hold less than the rest.
    let requests = thread::spawn(move || sender.write_all(get("/a").repeat(REQUESTS).as_bytes()).unwrap());
    assert_eq!(content(&mut other, "/a"), (200, old.clone()));
    replace(&root.join("a"), &new);
    thread::sleep(SEEN);
    for _ in 0..3 {
        assert_eq!(content(&mut other, "/a"), (200, new.clone()));
    }
    for i in 0..REQUESTS {
        let response = slow.response();
        assert!(response.text() == old || response.text() == new, "answer {i} is mixed");
    }
    requests.join().unwrap();
}

#[test]
fn what_is_kept_is_answered_by_one_call_and_opened_once_a_second() {
    const REQUESTS: usize = 500;
    let root = folder("calls");
    fs::write(root.join("a"), "x".repeat(4096)).unwrap();
    let mut command = httpd();
    command.arg("--root").arg(&root).arg("127.0.0.1:0").stderr(Stdio::null()).env("NETPOLL_THREADS", "1");
    let mut server = Witness::command(command).spawn().unwrap();
    let line = first_line(server.stdout.take().unwrap());
    let addr: std::net::SocketAddr = line.trim().rsplit('/').next().unwrap().parse().unwrap();
    let mut client = Client::new(std::net::TcpStream::connect(addr).unwrap());
    let start = Instant::now();
    for _ in 0..REQUESTS {
        assert_eq!(content(&mut client, "/a").1.len(), 4096);
    }
    let seconds = start.elapsed().as_secs() as usize;
    server.signal(libc::SIGTERM);
    let trace = server.finish().unwrap();
    assert_eq!(trace.end, End::Exited(0));
    let count = |name: &str| trace.calls.iter().filter(|call| call.name() == name).count();
    assert_eq!(count("sendto"), REQUESTS);
    assert_eq!(count("sendfile"), 0);
    // At the start, at the first request, and in each second that begins.
    assert!(count("openat2") <= 2 * seconds + 4, "{} in {seconds} s", count("openat2"));
}
