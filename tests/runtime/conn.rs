//! golang.org/x/net/nettest's TestConn: what every kind of connection must do.

use crate::harness::passes;

macro_rules! on_every_kind {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            for kind in ["tcp", "unix", "unix-listener", "pipe"] {
                passes(stringify!($name), |command| {
                    command.arg(kind);
                });
            }
        }
    )*};
}

on_every_kind! {
    conn_basic_io
    conn_ping_pong
    conn_racy_read
    conn_racy_write
    conn_read_timeout
    conn_write_timeout
    conn_past_timeout
    conn_present_timeout
    conn_future_timeout
    conn_close_timeout
    conn_concurrent_methods
}
