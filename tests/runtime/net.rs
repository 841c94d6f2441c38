//! TCP on the loopback, both ends tasks of one program.

use crate::harness::passes;

scenarios! {
    echo
    both_ways_at_once
    data_and_end_in_one_segment
    data_and_reset
    an_urgent_byte_hides_nothing
    peek_leaves_the_data
    a_full_buffer_is_not_the_end
    a_slow_reader
    writes_of_every_size
    two_readers_share_a_stream
    two_writers_share_a_stream
    nothing_takes_no_time
    peer_gone
    read_exact
    vectored
    more_buffers_than_the_kernel_takes
    half_close
    shutdown_wakes_this_end_too
    send_file
    traits
    ready_without_waiting
    a_write_behind_the_peers_end_does_not_spin
    a_read_beside_an_urgent_byte_does_not_spin
    a_reset_ends_both_ways_without_spinning

    bind_errors
    a_thousand_at_once
    slots_and_descriptors_are_used_again
    many_acceptors
    out_of_descriptors
    closed_while_out_of_descriptors
    aborted_in_the_queue
    ipv6

    refused
    several_addresses
    no_answer
    deadline_in_the_past
    a_deadline_ends_with_the_connect
    a_deadline_races_the_connect
    connected_to_itself
    no_false_success

    accept_timeout
    accept_timeout_must_return
    accept_timeout_must_not_return
    read_timeout_beats_data
    read_timeout_must_not_return
    write_timeout_beats_room
    write_timeout_must_not_return
    read_timeout_fluctuation
    write_timeout_fluctuation
    various_deadlines
    prolonged_timeout
    deadline_race
    random_deadlines
    one_sides_deadline_is_not_the_others
    a_deadline_wakes_whoever_waits
    data_after_a_timeout
    concurrent_earlier_deadlines

    close_wakes_reader_writer_and_acceptor
    close_wakes_those_in_line
    listen_again_at_once
    after_close
    the_last_handle_closes
    fifty_acceptors_end
    close_against_everything
    the_peers_close_wakes_a_reader
}

#[test]
fn various_deadlines_on_one_thread_and_on_four() {
    for threads in ["1", "4"] {
        passes("various_deadlines", |command| {
            command.env("NETPOLL_THREADS", threads);
        });
    }
}
