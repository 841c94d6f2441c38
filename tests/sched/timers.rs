//! `Timer` and `Ticker`.

use crate::harness::PROFILES;
use crate::{THREADS, each};

each! { PROFILES, THREADS;
    timers_fire_once_and_never_early
    a_stopped_timer_does_not_fire
    a_timer_moved_into_the_past_fires_at_once
    timers_set_and_moved_at_random
    moved_by_others_while_waited_for
    timers_are_reused
    a_timer_set_within_a_call_fires_meanwhile
    tickers_tick
}
