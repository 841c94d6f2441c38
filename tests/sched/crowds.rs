//! Very many tasks.

use crate::harness::{PROFILES, Profile};
use crate::{THREADS, each};

each! { [Profile::Release], THREADS;
    a_million_one_window_after_the_other
    a_hundred_thousand_at_once
    a_million_before_any_is_joined
    ten_thousand_sleepers
}

each! { PROFILES, THREADS;
    bursts_beyond_the_ring
    a_tree_of_joins
    semaphore_relay
}
