//! What a program prints first.

use std::io::{BufRead, BufReader};
use std::process::Child;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// The first line of a child's piped output; a panic if there is none within `limit`.
pub fn first_line(child: &mut Child, limit: Duration) -> String {
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let mut line = String::new();
        let _ = output.read_line(&mut line);
        tell.send(line)
    });
    told.recv_timeout(limit).expect("nothing was printed")
}
