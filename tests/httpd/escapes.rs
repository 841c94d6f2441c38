//! Nothing outside the root, and nothing but files and directories.

use std::ffi::CString;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::refuse::{Refuse, refuse};
use crate::server::{Server, folder, get, in_child};

const SECRET: &str = "secret of somebody else";

/// A root inside of a folder with a secret, and links out of it.
fn trap(test: &str) -> PathBuf {
    let outside = folder(test);
    fs::write(outside.join("secret"), SECRET).unwrap();
    let root = outside.join("root");
    fs::create_dir_all(root.join("sub/sub")).unwrap();
    fs::write(root.join("file"), "inside").unwrap();
    fs::write(root.join("sub/file"), "inside sub").unwrap();
    symlink("../secret", root.join("relative")).unwrap();
    symlink(outside.join("secret"), root.join("absolute")).unwrap();
    symlink("..", root.join("up")).unwrap();
    symlink("/", root.join("slash")).unwrap();
    symlink("relative", root.join("twice")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
    symlink("nowhere", root.join("dangling")).unwrap();
    symlink("/proc/self/root", root.join("magic")).unwrap();
    symlink("file", root.join("link")).unwrap();
    symlink("../file", root.join("sub/link")).unwrap();
    symlink("sub", root.join("dir")).unwrap();
    fs::create_dir(root.join("indexed")).unwrap();
    symlink("../../secret", root.join("indexed/index.html")).unwrap();
    root
}

/// Targets that lead outside, for a secret next to the root.
fn ways_out(root: &Path) -> Vec<String> {
    let secret = root.parent().unwrap().join("secret");
    let secret = secret.to_str().unwrap();
    let mut targets: Vec<String> = [
        "/../secret",
        "/./../secret",
        "/sub/../../secret",
        "/sub/sub/../../../secret",
        "/%2e%2e/secret",
        "/%2E./secret",
        "/.%2e/secret",
        "/..%2fsecret",
        "/%2e%2e%2fsecret",
        "/%2f..%2fsecret",
        "/..//secret",
        "//../secret",
        "/..%5csecret",
        "/..\\secret",
        "/%252e%252e/secret",
        "/..;/secret",
        "http://test/../secret",
        "/relative",
        "/absolute",
        "/twice",
        "/up/secret",
        "/up/root/file/../../secret",
        "/sub/../up/secret",
        "/loop",
        "/dangling",
        "/indexed/",
        "/magic/etc/passwd",
        "/slash/etc/passwd",
        "/slash/",
        "/up/",
        "/../",
    ]
    .map(str::to_owned)
    .into();
    targets.extend([secret.to_owned(), format!("/{secret}"), format!("/slash{secret}")]);
    targets.push(format!("/{}{secret}", "../".repeat(40)));
    targets.push(format!("/{}{}", "%2e%2e%2f".repeat(40), &secret[1..]));
    targets
}

fn assert_no_way_out(server: &Server, root: &Path) {
    for target in ways_out(root) {
        let response = server.get(&target);
        assert!([403, 404].contains(&response.status), "{target}: {response:?}");
        assert!(!response.text().contains("secret"), "{target}");
    }
}

#[test]
fn no_path_and_no_link_leads_out() {
    let root = trap("escapes");
    let server = Server::start(&root);
    assert_no_way_out(&server, &root);
    for (target, content) in [
        ("/file", "inside"),
        ("/sub/../file", "inside"),
        ("/sub/./sub/../file", "inside sub"),
        ("/sub%2ffile", "inside sub"),
        // Links that stay inside are followed.
        ("/link", "inside"),
        ("/sub/link", "inside"),
        ("/dir/file", "inside sub"),
        ("/dir/../file", "inside"),
    ] {
        let response = server.get(target);
        assert_eq!((response.status, response.text()), (200, content), "{target}");
    }
    assert_eq!(server.get("/dir").status, 301);
    assert!(server.get("/dir/").text().contains("href=\"link\""));
}

/// As before Linux 5.6.
const NO_OPENAT2: Refuse = Refuse { call: libc::SYS_openat2, argument: None, errno: libc::ENOSYS };

#[test]
fn without_openat2_no_link_is_followed_at_all() {
    let root = trap("no-openat2");
    fs::write(root.join("sub/index.html"), "index").unwrap();
    let server = Server::start_with(&root, &[], |command| refuse(command, NO_OPENAT2));
    assert_no_way_out(&server, &root);
    for (target, status, content) in [
        ("/file", 200, "inside"),
        ("/./sub//file", 200, "inside sub"),
        ("/sub/", 200, "index"),
        ("/sub", 301, "301 Moved Permanently\n"),
        ("/link", 403, "403 Forbidden\n"),
        ("/dir/file", 404, "404 Not Found\n"),
        ("/sub/../file", 403, "403 Forbidden\n"),
        ("/file/", 404, "404 Not Found\n"),
        ("/file/x", 404, "404 Not Found\n"),
        ("/none", 404, "404 Not Found\n"),
    ] {
        let response = server.get(target);
        assert_eq!((response.status, response.text()), (status, content), "{target}");
    }
    assert!(server.get("/").text().contains("href=\"sub/\""));
    assert_eq!(server.get(&format!("/{}", "x".repeat(256))).status, 404);
}

#[test]
fn pipes_sockets_and_devices_are_not_opened_for_long() {
    let root = folder("special");
    let fifo = CString::new(root.join("fifo").into_os_string().into_encoded_bytes()).unwrap();
    // SAFETY: mkfifo(3) reads the path.
    assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o644) }, 0);
    let _socket = UnixListener::bind(root.join("socket")).unwrap();
    symlink("/dev/zero", root.join("zero")).unwrap();
    let server = Server::start(&root);
    let mut client = server.connect();
    for name in ["/fifo", "/socket", "/zero"] {
        client.send(get(name));
        assert_eq!(client.response().status, 403, "{name}");
    }
    client.send(get("/fifo/"));
    assert_eq!(client.response().status, 404);

    // Devices are inside of the root here, and still not served.
    let server = Server::start(Path::new("/dev"));
    for name in ["/null", "/zero", "/tty", "/full"] {
        assert_eq!(server.get(name).status, 403, "{name}");
    }
}

#[test]
fn a_file_that_may_not_be_read_is_forbidden() {
    let root = folder("unreadable");
    fs::write(root.join("a"), SECRET).unwrap();
    fs::create_dir(root.join("d")).unwrap();
    for name in ["a", "d"] {
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(0o000)).unwrap();
    }
    // SAFETY: geteuid(2) takes nothing.
    let is_root = unsafe { libc::geteuid() } == 0;
    let server = Server::start_with(&root, &[], |command| {
        if is_root {
            in_child(command, give_up_root);
        }
    });
    for target in ["/a", "/d/", "/d/x"] {
        assert_eq!(server.get(target).status, 403, "{target}");
    }
    assert_eq!(server.get("/d").status, 403); // opening is what finds out that it is a directory
    fs::set_permissions(root.join("d"), fs::Permissions::from_mode(0o700)).unwrap();
}

/// Drops what lets the superuser read everything, and nothing else: the test's files belong to it.
fn give_up_root() -> io::Result<()> {
    const CAP_DAC_OVERRIDE: libc::c_ulong = 1;
    const CAP_DAC_READ_SEARCH: libc::c_ulong = 2;
    for capability in [CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH] {
        // SAFETY: prctl(2) takes numbers. Out of the bounding set it is gone with the exec that follows.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
