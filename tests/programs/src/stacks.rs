//! Stacks, and how a task dies.

use crate::Scenario;
use crate::support::{PATIENCE, Random, after, anonymous, eventually, join_all, limit, ms, pages, waiting};
use alloc::vec::Vec;
use core::fmt;
use core::hint::black_box;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use netpoll::arch::syscall5;
use netpoll::net::{Error, Next, TcpListener, TcpStream, serve};
use netpoll::runtime::{Metrics, metrics};
use netpoll::sync::Semaphore;
use netpoll::sys::Errno;
use netpoll::sys::mm::{Advice, MapFlags, Prot, madvise, mmap};
use netpoll::sys::process::{Resource, getpid};
use netpoll::sys::signal::{SIGSEGV, kill};
use netpoll::time::{Instant, sleep};
use netpoll::{Builder, JoinHandle, println, scope, spawn, yield_now};

/// Bytes of a stack, unless a program or a task asks for another size.
const DEFAULT: usize = 256 << 10;

pub const SCENARIOS: &[Scenario] = &[
    ("ten_thousand_parked_take_a_page_each", parked),
    ("dead_stacks_are_given_back", given_back),
    ("overflow_in_main", |_| deep(u64::MAX)),
    ("overflow_in_a_task", overflow_in_a_task),
    ("overflow_on_a_used_stack", overflow_on_a_used_stack),
    ("overflow_in_a_scope", overflow_in_a_scope),
    ("overflow_in_a_handler", overflow_in_a_handler),
    ("overflow_by_one_array", overflow_by_one_array),
    ("deep_is_not_overflow", deep_enough),
    ("ordinary_buffers_fit", ordinary_buffers),
    ("stacks_are_left_at_the_end", left_at_the_end),
    ("a_size_of_its_own", a_size_of_its_own),
    ("overflow_of_a_small_stack", overflow_of_a_small_stack),
    ("mixed_sizes_are_used_again", mixed_sizes),
    ("high_water", high_water),
    ("as_many_as_fit", as_many_as_fit),
    ("tasks_wait_for_a_stack", tasks_wait_for_a_stack),
    ("no_stack_for_anybody", no_stack_for_anybody),
    ("a_deadline_behind_the_last_task", deadline_behind_the_last_task),
    ("light_guards", |words| assert_eq!(words, [light_guards()])),
    ("null_in_main", |_| null()),
    ("null_in_a_task", |_| spawn(null).join()),
    ("null_on_a_stack_of_its_own_size", null_on_its_own_size),
    ("no_address_in_a_task", |_| spawn(|| read(1 << 63)).join()),
    ("above_the_stack_in_a_task", |_| spawn(|| read(mapping_without_access())).join()),
    ("a_file_that_is_too_short", |_| spawn(|| read(mapping_of_an_empty_file())).join()),
    ("sends_itself_sigsegv", |_| spawn(send_sigsegv).join()),
    ("sleeps_for_ever", |_| sleep(ms(1_000_000))),
    ("panic_in_main", |_| panic!("on purpose, {}", 1)),
    ("panic_in_a_task", |_| spawn(|| panic!("on purpose, {}", 2)).join()),
    ("panic_while_formatting", |_| println!("before {} after", Bad)),
    ("panic_with_a_message_that_panics", |_| panic!("message {}", Bad)),
    ("panic_in_a_drop", |_| drop(spawn(|| BadDrop).join())),
    ("panic_in_the_drop_of_a_result", panic_in_the_drop_of_a_result),
];

const PAGE: usize = 4096;

/// Tasks that have used 16 KiB of their stacks each are gone: when the program has been idle for a while,
/// their memory is, too, and new tasks find it zeroed and usable.
fn given_back(_: &[&str]) {
    const TASKS: usize = 1000;
    static ALIVE: AtomicU32 = AtomicU32::new(0);
    static GATE: Semaphore = Semaphore::new(0);
    fn use_stack() -> usize {
        let deep = black_box([1u8; 16 << 10]);
        ALIVE.fetch_add(1, Ordering::SeqCst);
        GATE.acquire(1);
        deep.iter().map(|&byte| usize::from(byte)).sum()
    }
    let run = || {
        ALIVE.store(0, Ordering::SeqCst);
        let tasks: Vec<_> = (0..TASKS).map(|_| spawn(use_stack)).collect();
        eventually("all of them", || ALIVE.load(Ordering::SeqCst) as usize == TASKS);
        GATE.release(TASKS);
        assert!(join_all(tasks).into_iter().all(|sum| sum == 16 << 10));
    };
    let before = anonymous();
    run();
    // One of another size, of which no P keeps any, used deeper.
    let deeper = Builder::new().stack_size(1 << 20).spawn(|| {
        let top = 0;
        use_bytes(300 << 10, (&raw const top).addr());
    });
    deeper.unwrap().join();
    let full = anonymous();
    assert!(full > TASKS * 5 * PAGE, "{full} bytes");
    let start = Instant::now();
    // Nothing of theirs, but for what two Ps keep at hand, 64 stacks each, the blocks, and the threads.
    while anonymous() > before + 2 * 64 * (full - before) / TASKS + TASKS / 5 * PAGE {
        assert!(start.elapsed() < PATIENCE, "{} bytes of {full}, {before} before", anonymous());
        sleep(ms(400)); // the monitor looks at an idle program for 100 ms first
    }
    // It is remembered how much of them was used.
    let used = metrics().stack_high_water;
    assert!(used > 300 << 10 && used < 400 << 10, "{used} bytes of a stack");
    run();
}

fn parked(_: &[&str]) {
    const TASKS: usize = 10_000;
    static ALIVE: AtomicU32 = AtomicU32::new(0);
    static GATE: Semaphore = Semaphore::new(0);
    let before = anonymous();
    let until = after(100 * PATIENCE);
    let mut tasks = Vec::with_capacity(TASKS);
    for _ in 0..TASKS {
        tasks.push(spawn(move || {
            ALIVE.fetch_add(1, Ordering::SeqCst);
            assert!(GATE.acquire_deadline(1, until));
        }));
    }
    eventually("all of them", || ALIVE.load(Ordering::SeqCst) == TASKS as u32);
    let each = (anonymous() - before) * 100 / TASKS / PAGE;
    GATE.release(TASKS);
    join_all(tasks);
    // One page of stack; their handles and timers are 32 bytes, and what else there is, little.
    let most = if cfg!(debug_assertions) { 210 } else { 110 };
    assert!(each <= most, "{each} hundredths of a page each");
}

/// Recursion with a frame that the optimiser must keep.
fn deep(n: u64) {
    let frame = [n; 16];
    if n > 0 {
        deep(black_box(n - 1));
    }
    black_box(&frame);
}

fn overflow_in_a_task(_: &[&str]) {
    spawn(|| deep(u64::MAX)).join();
}

fn overflow_in_a_scope(_: &[&str]) {
    scope(|s| s.spawn(|| deep(u64::MAX)).join());
}

/// A server's task is spawned where the server is.
fn overflow_in_a_handler(_: &[&str]) {
    let listener = TcpListener::bind(crate::support::LOOPBACK).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.write_all(b"x").unwrap();
    serve(&listener, |_| {
        deep(u64::MAX);
        Next::Close
    })
    .unwrap();
}

/// A frame larger than the stack. It reaches beyond the guard page, and yet does not step over it.
fn overflow_by_one_array(_: &[&str]) {
    spawn(|| u32::from(black_box([0u8; 1 << 20])[0])).join();
}

/// What ordinary code has on its stack: the buffer that std copies files with is 8 KiB, a pipe holds 64.
fn ordinary_buffers(_: &[&str]) {
    spawn(|| {
        let big = [0u8; 65536];
        let text = alloc::format!("{:?}", black_box(&big));
        assert_eq!(text.len(), 3 * big.len());
        let mut copy = [1u8; 65536];
        copy.copy_from_slice(black_box(&big));
        assert_eq!(copy, big);
    })
    .join();
}

fn overflow_on_a_used_stack(_: &[&str]) {
    spawn(|| deep(100)).join();
    spawn(|| deep(100)).join();
    spawn(|| deep(u64::MAX)).join();
}

/// Uses three quarters of the stack, on many stacks at once and again on used ones.
fn deep_enough(_: &[&str]) {
    const MOST: usize = DEFAULT / 4 * 3;
    for _ in 0..3 {
        let tasks: Vec<_> = (0..200)
            .map(|_| {
                spawn(|| {
                    let mut bytes = [1u8; MOST];
                    black_box(&mut bytes);
                    yield_now();
                    black_box(&bytes).iter().map(|&b| b as u32).sum::<u32>()
                })
            })
            .collect();
        assert!(join_all(tasks).iter().all(|&sum| sum == MOST as u32));
    }
}

/// Tasks that have ended, but were not joined, hold no stack, unless their results lie there.
fn left_at_the_end(_: &[&str]) {
    const TASKS: usize = 1000;
    static ENDED: AtomicU32 = AtomicU32::new(0);
    let small: Vec<_> = (0..TASKS)
        .map(|i| {
            spawn(move || {
                ENDED.fetch_add(1, Ordering::SeqCst);
                [i; 16]
            })
        })
        .collect();
    eventually("their ends", || ENDED.load(Ordering::SeqCst) as usize == TASKS);
    let Metrics { stacks, threads, .. } = metrics();
    assert!(stacks < TASKS as u64 / 10 * (1 + threads / 2), "{stacks} stacks, {threads} threads");
    let large: Vec<_> = (0..TASKS).map(|i| spawn(move || [i; 17])).collect();
    assert!(metrics().stacks >= TASKS as u64);
    // Results of both kinds are whole, in whatever order they are taken.
    assert!(large.into_iter().rev().map(JoinHandle::join).eq((0..TASKS).rev().map(|i| [i; 17])));
    assert!(small.into_iter().map(JoinHandle::join).eq((0..TASKS).map(|i| [i; 16])));
}

fn a_size_of_its_own(_: &[&str]) {
    const LARGE: usize = 16 * DEFAULT;
    let large = Builder::new().stack_size(LARGE);
    for _ in 0..3 {
        // A frame of `deep` is 128 bytes at least.
        large.spawn(|| deep(4 * DEFAULT as u64 / 128)).unwrap().join();
        // With closures and results that lie on it, many at once.
        let tasks: Vec<_> = (0..20).map(|i| large.spawn(move || [i; 5000]).unwrap()).collect();
        assert!(join_all(tasks).iter().zip(0u8..).all(|(result, i)| result.iter().all(|&n| n == i)));
    }
    // More than a quarter of it: asked for where a debug build has room for its copies.
    let too_big = || Builder::new().stack_size(128 << 10).spawn(|| [1u8; (32 << 10) + 1]).map(drop);
    assert_eq!(large.spawn(too_big).unwrap().join(), Err(Errno::E2BIG));
    // As large as the address space allows, and larger.
    assert_eq!(Builder::new().stack_size(1 << 36).spawn(|| 7).unwrap().join(), 7);
    assert_eq!(Builder::new().stack_size(usize::MAX).spawn(|| 8).map(JoinHandle::join).unwrap_or(8), 8);
}

fn overflow_of_a_small_stack(_: &[&str]) {
    Builder::new().stack_size(5000).spawn(|| deep(u64::MAX)).unwrap().join();
}

/// Stacks of six sizes come and go: there are never more than were in use at once, and what the Ps keep
/// of one size.
fn mixed_sizes(_: &[&str]) {
    const AT_ONCE: usize = 60;
    let random = Random::new(11);
    let round = || {
        let tasks: Vec<_> = (0..AT_ONCE)
            .map(|i| {
                let (size, eighths) = (16 << 10 << (i % 6), random.below(3) + 1);
                let task = Builder::new().stack_size(size).spawn(move || {
                    let from = black_box(&raw const i).addr();
                    yield_now();
                    use_bytes(size as u64 * eighths / 8, from);
                    i
                });
                task.unwrap()
            })
            .collect();
        assert!(join_all(tasks).into_iter().eq(0..AT_ONCE));
    };
    round();
    let made = metrics().stacks;
    (0..200).for_each(|_| round());
    let now = metrics();
    assert!(now.stacks <= made + 64 * now.threads, "{} stacks, {made} after the first round", now.stacks);
}

/// Goes so many bytes down from the address `from`.
fn use_bytes(bytes: u64, from: usize) {
    let frame = black_box([0u64; 16]);
    if ((from - frame.as_ptr().addr()) as u64) < bytes {
        use_bytes(bytes, from);
    }
    black_box(&frame);
}

fn high_water(_: &[&str]) {
    let before = metrics().stack_high_water;
    assert!((4096..40 << 10).contains(&before), "{before}");
    spawn(|| {
        let top = 0;
        use_bytes(40 << 10, (&raw const top).addr());
    })
    .join();
    let after = metrics().stack_high_water;
    assert!(after > 40 << 10 && after < 64 << 10, "{after}, {before} before");
    // Small use later does not lower it; a stack of another size raises it.
    join_all((0..100).map(|_| spawn(|| ())));
    assert_eq!(metrics().stack_high_water, after);
    let large = Builder::new().stack_size(1 << 20).spawn(|| {
        let top = 0;
        use_bytes(500 << 10, (&raw const top).addr());
    });
    large.unwrap().join();
    let large = metrics().stack_high_water;
    assert!(large > 500 << 10 && large < 600 << 10, "{large}");
}

/// Parked tasks up to the limit of mappings, if there is one, which is told to who spawns.
fn as_many_as_fit(_: &[&str]) {
    static GATE: Semaphore = Semaphore::new(0);
    static BEGUN: AtomicU32 = AtomicU32::new(0);
    crate::heap::reserve();
    let mut tasks = Vec::with_capacity(40_000);
    let refused = loop {
        let task = Builder::new().spawn(|| {
            BEGUN.fetch_add(1, Ordering::SeqCst);
            GATE.acquire(1);
        });
        match task {
            Ok(task) => tasks.push(task),
            Err(e) => break Some(e),
        }
        if tasks.len() == 40_000 {
            break None; // `vm.max_map_count` is not the usual
        }
    };
    assert!(refused.is_none_or(|e| e == Errno::ENOMEM) && tasks.len() > 1000, "{refused:?}, {}", tasks.len());
    // All that were spawned get their turn.
    eventually("all", || BEGUN.load(Ordering::SeqCst) as usize == tasks.len());
    GATE.release(tasks.len());
    join_all(tasks);
    spawn(|| ()).join();
}

/// From now on the kernel gives the calling thread no guard: there are no new stacks.
fn refuse_guards() {
    const ENOMEM: u32 = 12;
    const PR_SET_NO_NEW_PRIVS: usize = 38;
    const PR_SET_SECCOMP: usize = 22;
    const FILTER: usize = 2;
    #[repr(C)]
    struct Instruction(u16, u8, u8, u32);
    #[repr(C)]
    struct Program(u16, *const Instruction);
    let refuse = Instruction(0x06, 0, 0, 0x0005_0000 | ENOMEM); // BPF_RET, SECCOMP_RET_ERRNO
    let filter = [
        Instruction(0x20, 0, 0, 0),           // load seccomp_data.nr
        Instruction(0x15, 2, 0, 28),          // madvise: look at the advice
        Instruction(0x15, 3, 0, 10),          // mprotect: refuse
        Instruction(0x06, 0, 0, 0x7fff_0000), // SECCOMP_RET_ALLOW
        Instruction(0x20, 0, 0, 32),          // the third argument
        Instruction(0x15, 0, 1, 102),         // MADV_GUARD_INSTALL
        refuse,
        Instruction(0x06, 0, 0, 0x7fff_0000),
    ];
    let program = Program(filter.len() as u16, filter.as_ptr());
    // SAFETY: prctl(2) reads the program, and changes only what the thread may do.
    unsafe {
        assert_eq!(syscall5(157, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(syscall5(157, PR_SET_SECCOMP, FILTER, (&raw const program).addr(), 0, 0), 0);
    }
}

/// Two tasks have stacks; a hundred more get on with these.
fn tasks_wait_for_a_stack(_: &[&str]) {
    static RAN: AtomicU32 = AtomicU32::new(0);
    static GATE: Semaphore = Semaphore::new(0);
    let two: Vec<_> = (0..2).map(|_| waiting(|| GATE.acquire(1))).collect();
    refuse_guards();
    assert!(Builder::new().stack_size(1 << 20).spawn(|| ()).is_err(), "the filter does not work");
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            spawn(|| {
                yield_now();
                RAN.fetch_add(1, Ordering::SeqCst);
            })
        })
        .collect();
    sleep(ms(20));
    assert_eq!(RAN.load(Ordering::SeqCst), 0);
    GATE.release(2);
    join_all(two);
    join_all(tasks);
    assert_eq!(RAN.load(Ordering::SeqCst), 100);
}

/// Tasks until there is no address space for more, `words[0]` KiB of which are left over by chance; then the first
/// deadline of the program, which needs some.
fn deadline_behind_the_last_task(words: &[&str]) {
    static GATE: Semaphore = Semaphore::new(0);
    let rest: usize = words[0].parse().unwrap();
    let (near, far) = crate::support::pair();
    let mut tasks = Vec::with_capacity(2000);
    limit(Resource::As, ((pages(0) << 12) + 320 * DEFAULT + (rest << 10)) as u64);
    while let Ok(task) = Builder::new().spawn(|| GATE.acquire(1)) {
        tasks.push(task);
    }
    assert!((100..2000).contains(&tasks.len()), "{} tasks", tasks.len());
    far.set_read_deadline(Some(after(ms(1)))).unwrap();
    assert_eq!(far.read(&mut [0]), Err(Error::TimedOut));
    near.write_all(b"x").unwrap();
    GATE.release(tasks.len());
    join_all(tasks);
}

fn no_stack_for_anybody(_: &[&str]) {
    refuse_guards();
    spawn(|| println!("it began")).join();
}

/// Whether the kernel has guards that cost no mapping.
fn light_guards() -> &'static str {
    // SAFETY: a new mapping, for nobody to use.
    unsafe {
        let flags = MapFlags::PRIVATE | MapFlags::ANONYMOUS;
        let page = mmap(core::ptr::null_mut(), 4096, Prot::READ, flags, -1, 0).unwrap();
        if madvise(page, 4096, Advice::GuardInstall).is_ok() { "yes" } else { "no" }
    }
}

fn null() {
    read(16);
}

fn null_on_its_own_size(_: &[&str]) {
    Builder::new().stack_size(DEFAULT * 2).spawn(null).unwrap().join();
}

/// Faults at `address`.
#[inline(never)]
fn read(address: usize) {
    let there: *const u64 = core::ptr::without_provenance(black_box(address));
    // SAFETY: it is not, which is the point: nothing can be read there.
    black_box(unsafe { there.read_volatile() });
}

fn mapping_without_access() -> usize {
    // SAFETY: a new mapping.
    let page = unsafe {
        let flags = MapFlags::PRIVATE | MapFlags::ANONYMOUS;
        mmap(core::ptr::null_mut(), 4096, Prot::empty(), flags, -1, 0).unwrap()
    };
    println!("{:x}", page.addr());
    page.addr()
}

fn mapping_of_an_empty_file() -> usize {
    // SAFETY: the name ends with a zero; the mapping is new, and nobody reads it but for the fault.
    let page = unsafe {
        let file = syscall5(319, c"empty".as_ptr().addr(), 0, 0, 0, 0); // memfd_create
        mmap(core::ptr::null_mut(), 4096, Prot::READ, MapFlags::SHARED, file as i32, 0).unwrap()
    };
    println!("{:x}", page.addr());
    page.addr()
}

fn send_sigsegv() {
    kill(getpid(), Some(SIGSEGV)).unwrap();
    sleep(ms(1000));
}

struct Bad;

impl fmt::Display for Bad {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("bad format: {}", Bad)
    }
}

struct BadDrop;

impl Drop for BadDrop {
    fn drop(&mut self) {
        panic!("bad drop");
    }
}

/// The task finds its handle gone, and drops its result itself.
fn panic_in_the_drop_of_a_result(_: &[&str]) {
    static GONE: AtomicBool = AtomicBool::new(false);
    drop(spawn(|| {
        while !GONE.load(Ordering::Acquire) {
            yield_now();
        }
        BadDrop
    }));
    GONE.store(true, Ordering::Release);
    sleep(ms(1000));
}
