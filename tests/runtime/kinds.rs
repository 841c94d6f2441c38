//! Unix sockets, UDP, options and timeouts, both ends tasks of one program.

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
    timeout_and_deadline
    timeouts_end_with_their_descriptor
    split_halves
    descriptors_come_and_go
    accept_deadline
}
