//! Unix sockets, UDP, options and timeouts, any descriptor; both ends tasks of one program.

use crate::harness::{PROFILES, finish, passes, run, scenario};
use std::fs::{self, File};
use std::io::{Read, Write, pipe};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::thread;

scenarios! {
    unix_connection
    unix_addresses
    unix_path_in_use
    unix_bytes_in_order
    unix_end_of_stream
    unix_half_close
    unix_full_backlog
    unix_close_wakes_acceptor
    unix_peer_cred
    seqpacket
    seqpacket_half_close
    datagrams
    datagrams_of_no_bytes
    datagrams_to_a_full_peer
    datagrams_to_a_full_stranger

    descriptors_travel
    descriptors_split_a_read
    descriptors_that_nobody_takes
    descriptors_without_room
    descriptors_by_the_hundred
    descriptors_refused

    udp_echo
    udp_connected
    udp_no_bytes_are_no_end
    udp_cut_off
    udp_refused_is_not_dead
    udp_read_timeout_beats_data
    udp_write_timeout_beats_room
    udp_read_timeout_fluctuation
    udp_close_wakes_a_reader
    udp_batches
    udp_batch_waits
    udp_options
    udp_multicast
    udp_ipv6

    stream_options
    builder_listens
    builder_connects
    builder_only_v6
    builder_shares_a_port
    builder_defers_accept
    timeout_of_each_read
    timeout_of_each_write
    a_timeout_that_passes_between_reads
    timeout_and_deadline
    timeouts_end_with_their_descriptor
    split_halves
    descriptors_come_and_go
    accept_deadline

    any_eventfd
    any_timerfd
    any_inotify
    any_fifo
    any_terminal
    any_terminal_close
    any_regular_file
    any_call
    shared_flags_stay
    pipe_close_races_a_read
    pipe_close_races_a_write
    pipe_of_packets
    pipe_errors_die_with_their_pipe
    any_hopeless

    copy_every_kind
    copy_to_what_appends
    copy_of_what_cannot_be_spliced
    copy_without_descriptors
    copy_beside_closed_streams
    copy_ends_with_a_deadline
    copy_ends_with_a_close
    copy_tells_the_side
    copy_through_memory
    buffered_reads
    buffered_lines
    buffered_writes
}

#[test]
fn pipes_parked_need_no_threads() {
    // As many as it may have with a pipe or without, and not as many as there are CPUs.
    passes("pipes_parked_need_no_threads", |command| {
        command.env("NETPOLL_THREADS", "4");
    });
}

const TAIL: &[u8] = b"ok stdin_to_stdout\n";

fn blocks(fd: &impl AsRawFd) -> bool {
    // SAFETY: the call takes no pointer.
    unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) & libc::O_NONBLOCK == 0 }
}

/// Standard input and output are shared with others, with these tests here: a program parks on them, and
/// leaves their flags alone.
#[test]
fn stdin_and_stdout_park_and_keep_their_flags() {
    let bytes: Vec<u8> = (0..300_000u32).map(|i| (i / 7) as u8).collect();
    for profile in PROFILES {
        let ((stdin, mut feed), (mut out, stdout)) = (pipe().unwrap(), pipe().unwrap());
        let mut command = scenario(profile, "stdin_to_stdout");
        command.stdin(stdin.try_clone().unwrap()).stdout(stdout.try_clone().unwrap());
        let child = command.spawn().unwrap();
        drop(command);
        let mut got = vec![0; 100];
        feed.write_all(&bytes[..100]).unwrap();
        out.read_exact(&mut got).unwrap();
        assert!(blocks(&stdin) && blocks(&stdout));
        drop((stdin, stdout));
        let rest = bytes[100..].to_vec();
        let feeder = thread::spawn(move || feed.write_all(&rest).unwrap());
        out.read_to_end(&mut got).unwrap();
        feeder.join().unwrap();
        assert!(got == [&bytes, TAIL].concat(), "{} bytes", got.len());
        finish(child).unwrap().exited(0);
    }
}

/// Files cannot be waited for, and need not be.
#[test]
fn stdin_and_stdout_may_be_files() {
    let program = fs::read(std::env::current_exe().unwrap()).unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for profile in PROFILES {
        let path = folder.join(format!("stdout-{profile:?}"));
        let mut command = scenario(profile, "stdin_to_stdout");
        command.stdin(File::open(std::env::current_exe().unwrap()).unwrap());
        command.stdout(File::create(&path).unwrap());
        run(&mut command).exited(0);
        assert!(fs::read(path).unwrap() == [&program, TAIL].concat());
    }
}
