//! `net::serve`.

scenarios! {
    serve_answers
    serve_rests_without_a_task
    serve_byte_by_byte
    serve_loses_no_edge
    serve_idle_timeout
    serve_idle_time_begins_anew
    serve_ends_behind_its_handlers
    serve_ends_at_any_time
    serve_event_deadline_and_close_at_once
    serve_ends_by_a_deadline
    serve_closed_by_another_handle
    serve_beside_another_reader
    serve_out_of_descriptors
    serve_unix
    serve_resting_bytes
    serve_urgent_byte_is_no_news
}
