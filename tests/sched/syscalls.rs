//! Calls that are mostly quick, within `syscall`; and the monitor, which is there for those that are not.

use crate::harness::{PROFILES, Profile, program};
use crate::{THREADS, each, one_at_a_time, run};

each! { PROFILES, THREADS;
    calls_that_block_on_all_threads_keep_nobody_waiting
    calls_race_with_retakes
    parking_within_a_call
    calls_within_calls
    a_task_always_in_calls_is_no_hog
    a_second_task_gets_its_turn
}

each! { [Profile::Release], THREADS;
    behind_the_first_others_wait_for_microseconds
}

/// Without the monitor the task keeps its thread's P; where there is another, others run all the same.
#[test]
fn without_the_monitor_a_call_keeps_its_thread() {
    let _one = one_at_a_time();
    for profile in PROFILES {
        for (threads, others_run) in [("1", "false\n"), ("2", "true\n")] {
            let mut command = program(profile, "unwatched");
            command.env("NETPOLL_THREADS", threads);
            run(command).exited(0).printed(others_run, "");
        }
    }
}
