//! `Mutex`, `RwLock`, `Once`, `OnceLock`.

use crate::Dropped;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::time::Duration;
use netpoll::sync::{Mutex, Once, OnceLock, RwLock, WaitGroup};
use netpoll::time::{Instant, sleep};
use netpoll::{scope, spawn, yield_now};

crate::scenarios! {
    a_mutex_excludes_eight_tasks
    a_mutex_is_held_across_parks
    a_mutex_locked_without_a_pause_still_reaches_others
    a_guard_may_be_dropped_by_another_task
    try_lock_says_no
    readers_share_and_writers_do_not
    writers_are_not_starved_by_readers
    readers_are_not_starved_by_writers
    once_runs_once_and_all_wait_for_it
    a_once_lock_keeps_its_first_value
    a_once_lock_drops_its_value
}

/// A wait that takes this long would last for ever, however loaded the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

fn a_mutex_excludes_eight_tasks() {
    static COUNT: Mutex<u64> = Mutex::new(0);
    let tasks = [0u64, 1, 2, 3, 4, 5, 6, 7].map(|k| {
        spawn(move || {
            for n in 0..100_000u64 {
                let mut count = COUNT.lock();
                let seen = *count;
                if (n + k) % 64 == 0 {
                    yield_now(); // others must find it locked
                }
                *count = seen + 1;
            }
        })
    });
    let _: [(); _] = tasks.map(|task| task.join());
    assert_eq!(*COUNT.lock(), 800_000);
}

fn a_mutex_is_held_across_parks() {
    let log = Mutex::new(([0; 6], 0));
    scope(|s| {
        for n in 1..=3 {
            let log = &log;
            s.spawn(move || {
                let mut log = log.lock();
                for _ in 0..2 {
                    let at = log.1;
                    log.0[at] = n;
                    log.1 += 1;
                    sleep(Duration::from_millis(1));
                }
            });
        }
    });
    let (log, _) = log.into_inner();
    assert!(log.chunks(2).all(|pair| pair[0] == pair[1]), "{log:?}");
}

/// One task has the mutex all the time, but for the moment between an unlock and the next lock.
fn a_mutex_locked_without_a_pause_still_reaches_others() {
    static MUTEX: Mutex<()> = Mutex::new(());
    static STOP: AtomicBool = AtomicBool::new(false);
    let hog = spawn(|| {
        while !STOP.load(Ordering::Relaxed) {
            let _guard = MUTEX.lock();
            yield_now();
        }
    });
    for _ in 0..20 {
        yield_now();
        let begin = Instant::now();
        drop(MUTEX.lock());
        assert!(begin.elapsed() < PATIENCE);
    }
    STOP.store(true, Ordering::Relaxed);
    hog.join();
}

fn a_guard_may_be_dropped_by_another_task() {
    static MUTEX: Mutex<u32> = Mutex::new(1);
    let guard = MUTEX.lock();
    let other = spawn(move || drop(guard));
    *MUTEX.lock() += 1;
    other.join();
    assert_eq!(*MUTEX.lock(), 2);
}

fn try_lock_says_no() {
    let (mutex, lock) = (Mutex::new(1), RwLock::new(1));
    let guard = mutex.lock();
    assert!(mutex.try_lock().is_none() && mutex.is_locked());
    drop(guard);
    assert!(mutex.try_lock().is_some());
    let reader = lock.read();
    assert!(lock.try_read().is_some() && lock.try_write().is_none());
    drop(reader);
    let writer = lock.try_write().unwrap();
    assert!(lock.try_read().is_none() && lock.try_write().is_none());
    drop(writer);
    assert!(lock.try_read().is_some());
}

fn readers_share_and_writers_do_not() {
    let value = RwLock::new([0u64; 8]);
    let inside = AtomicUsize::new(0);
    let most = AtomicUsize::new(0);
    scope(|s| {
        for k in 0..6u64 {
            let (value, inside, most) = (&value, &inside, &most);
            s.spawn(move || {
                for n in 0..3000 {
                    if (n + k) % 4 == 0 {
                        let mut value = value.write();
                        assert_eq!(inside.load(Ordering::Relaxed), 0);
                        value.iter_mut().for_each(|v| *v += 1);
                        if n % 16 == 0 {
                            yield_now();
                        }
                        assert_eq!(inside.load(Ordering::Relaxed), 0);
                    } else {
                        let value = value.read();
                        most.fetch_max(inside.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                        let first = value[0];
                        if n % 8 == 0 {
                            yield_now();
                        }
                        assert_eq!(*value, [first; 8]);
                        inside.fetch_sub(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(value.into_inner(), [6 * 750; 8]);
    assert!(most.into_inner() > 1, "no two readers were inside at once");
}

fn writers_are_not_starved_by_readers() {
    static LOCK: RwLock<()> = RwLock::new(());
    static STOP: AtomicBool = AtomicBool::new(false);
    let readers = [(); 4].map(|()| {
        spawn(|| {
            while !STOP.load(Ordering::Relaxed) {
                let _reader = LOCK.read();
                (0..3).for_each(|_| yield_now()); // there is always one inside
            }
        })
    });
    for _ in 0..100 {
        yield_now();
        let begin = Instant::now();
        drop(LOCK.write());
        assert!(begin.elapsed() < PATIENCE);
    }
    STOP.store(true, Ordering::Relaxed);
    let _: [(); _] = readers.map(|r| r.join());
}

fn readers_are_not_starved_by_writers() {
    static LOCK: RwLock<()> = RwLock::new(());
    static STOP: AtomicBool = AtomicBool::new(false);
    let writers = [(); 4].map(|()| {
        spawn(|| {
            while !STOP.load(Ordering::Relaxed) {
                let _writer = LOCK.write();
                yield_now(); // there is always one inside or waiting
            }
        })
    });
    for _ in 0..100 {
        yield_now();
        let begin = Instant::now();
        drop(LOCK.read());
        assert!(begin.elapsed() < PATIENCE);
    }
    STOP.store(true, Ordering::Relaxed);
    let _: [(); _] = writers.map(|w| w.join());
}

fn once_runs_once_and_all_wait_for_it() {
    static ONCE: Once = Once::new();
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    let tasks = [(); 8].map(|()| {
        spawn(|| {
            ONCE.call_once(|| {
                sleep(Duration::from_millis(2));
                RUNS.fetch_add(1, Ordering::Relaxed);
            });
            assert!(ONCE.is_completed());
            RUNS.load(Ordering::Relaxed)
        })
    });
    assert_eq!(tasks.map(|task| task.join()), [1; 8]);
    ONCE.call_once(|| unreachable!());
}

fn a_once_lock_keeps_its_first_value() {
    static CELL: OnceLock<u32> = OnceLock::new();
    assert_eq!(CELL.get(), None);
    let tasks = [1, 2, 3, 4].map(|n| {
        spawn(move || {
            *CELL.get_or_init(|| {
                yield_now();
                n
            })
        })
    });
    let values = tasks.map(|task| task.join());
    assert_eq!(values, [values[0]; 4]);
    assert_eq!((CELL.get(), CELL.set(9)), (Some(&values[0]), Err(9)));
    let mut own = OnceLock::new();
    assert_eq!((own.set(5), own.get_mut()), (Ok(()), Some(&mut 5)));
    assert_eq!(own.into_inner(), Some(5));
}

fn a_once_lock_drops_its_value() {
    let drops = AtomicUsize::new(0);
    drop(OnceLock::<Dropped>::new());
    let cell = OnceLock::new();
    assert!(cell.set(Dropped(&drops)).is_ok());
    drop(cell);
    assert_eq!(drops.load(Ordering::Relaxed), 1);
    let cell = OnceLock::new();
    cell.get_or_init(|| Dropped(&drops));
    let value = cell.into_inner();
    assert_eq!(drops.load(Ordering::Relaxed), 1);
    drop(value);
    assert_eq!(drops.load(Ordering::Relaxed), 2);
    WaitGroup::new().wait(); // nothing to wait for
}
