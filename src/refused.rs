//! What the compiler must refuse, each beside its twin that compiles: so a test cannot pass because of a typing error.
//! Only doctests are made of this file.

/// A channel takes no shorter borrow than its type says, by whatever handle: it would outlive what it borrows from.
///
/// ```compile_fail,E0597
/// fn smuggle<'a>(tx: &netpoll::sync::Sender<&'a mut u64>, value: &'a mut u64) {
///     let _ = tx.try_send(value);
/// }
/// let (tx, rx) = netpoll::sync::channel::<&'static mut u64>(1);
/// {
///     let mut short = 1;
///     smuggle(&tx, &mut short);
/// }
/// assert_eq!(rx.recv().map(|value| *value), Some(1));
/// ```
/// ```no_run
/// fn smuggle<'a>(tx: &netpoll::sync::Sender<&'a mut u64>, value: &'a mut u64) {
///     let _ = tx.try_send(value);
/// }
/// let mut long = 1;
/// let (tx, rx) = netpoll::sync::channel::<&mut u64>(1);
/// smuggle(&tx, &mut long);
/// assert_eq!(rx.recv().map(|value| *value), Some(1));
/// ```
///
/// The same by `select!`:
/// ```compile_fail,E0597
/// fn smuggle<'a>(tx: &netpoll::sync::Sender<&'a u64>, value: &'a u64) {
///     netpoll::select! { send(tx, value) -> _ => (), default => () }
/// }
/// let (tx, _rx) = netpoll::sync::channel::<&'static u64>(1);
/// {
///     let short = 1;
///     smuggle(&tx, &short);
/// }
/// ```
/// ```no_run
/// fn smuggle<'a>(tx: &netpoll::sync::Sender<&'a u64>, value: &'a u64) {
///     netpoll::select! { send(tx, value) -> _ => (), default => () }
/// }
/// let long = 1;
/// let (tx, _rx) = netpoll::sync::channel::<&u64>(1);
/// smuggle(&tx, &long);
/// ```
///
/// The type of a handle is that of the channel, both ways:
/// ```compile_fail
/// fn shorter<'a>(tx: netpoll::sync::Sender<&'static u64>) -> netpoll::sync::Sender<&'a u64> { tx }
/// ```
/// ```compile_fail
/// fn shorter<'a>(rx: netpoll::sync::Receiver<&'static u64>) -> netpoll::sync::Receiver<&'a u64> { rx }
/// ```
/// ```no_run
/// fn same<'a>(tx: netpoll::sync::Sender<&'a u64>) -> netpoll::sync::Sender<&'a u64> { tx }
/// fn same_too<'a>(rx: netpoll::sync::Receiver<&'a u64>) -> netpoll::sync::Receiver<&'a u64> { rx }
/// ```
///
/// A channel of what may not be sent cannot be made:
/// ```compile_fail,E0277
/// let _ = netpoll::sync::channel::<std::rc::Rc<u64>>(1);
/// ```
/// ```no_run
/// let _ = netpoll::sync::channel::<std::sync::Arc<u64>>(1);
/// ```
struct Channels;

/// What is put into a shared place is as long-lived as the place says.
///
/// ```compile_fail,E0597
/// static PLACE: netpoll::sync::OnceLock<&'static u64> = netpoll::sync::OnceLock::new();
/// fn put<'a>(place: &netpoll::sync::OnceLock<&'a u64>, value: &'a u64) { let _ = place.set(value); }
/// let short = 1;
/// put(&PLACE, &short);
/// ```
/// ```compile_fail,E0597
/// static PLACE: netpoll::sync::Mutex<Option<&'static u64>> = netpoll::sync::Mutex::new(None);
/// fn put<'a>(place: &netpoll::sync::Mutex<Option<&'a u64>>, value: &'a u64) { *place.lock() = Some(value); }
/// let short = 1;
/// put(&PLACE, &short);
/// ```
/// ```compile_fail,E0597
/// static PLACE: netpoll::sync::RwLock<Option<&'static u64>> = netpoll::sync::RwLock::new(None);
/// fn put<'a>(place: &netpoll::sync::RwLock<Option<&'a u64>>, value: &'a u64) { *place.write() = Some(value); }
/// let short = 1;
/// put(&PLACE, &short);
/// ```
/// ```no_run
/// use netpoll::sync::{Mutex, OnceLock, RwLock};
/// static ONCE: OnceLock<&'static u64> = OnceLock::new();
/// static MUTEX: Mutex<Option<&'static u64>> = Mutex::new(None);
/// static LOCK: RwLock<Option<&'static u64>> = RwLock::new(None);
/// fn put<'a>(once: &OnceLock<&'a u64>, mutex: &Mutex<Option<&'a u64>>, lock: &RwLock<Option<&'a u64>>, value: &'a u64) {
///     let _ = once.set(value);
///     *mutex.lock() = Some(value);
///     *lock.write() = Some(value);
/// }
/// put(&ONCE, &MUTEX, &LOCK, &1);
/// ```
///
/// A guard takes nothing shorter either, and does not outlive its lock:
/// ```compile_fail,E0597
/// use netpoll::sync::{Mutex, MutexGuard};
/// fn put<'a>(guard: &mut MutexGuard<'_, &'a u64>, value: &'a u64) { **guard = value; }
/// static PLACE: Mutex<&'static u64> = Mutex::new(&0);
/// let short = 1;
/// put(&mut PLACE.lock(), &short);
/// ```
/// ```compile_fail,E0505
/// let lock = netpoll::sync::Mutex::new(1);
/// let guard = lock.lock();
/// drop(lock);
/// assert_eq!(*guard, 1);
/// ```
/// ```no_run
/// use netpoll::sync::{Mutex, MutexGuard};
/// fn put<'a>(guard: &mut MutexGuard<'_, &'a u64>, value: &'a u64) { **guard = value; }
/// static PLACE: Mutex<&'static u64> = Mutex::new(&0);
/// put(&mut PLACE.lock(), &1);
/// let lock = netpoll::sync::Mutex::new(1);
/// let guard = lock.lock();
/// assert_eq!(*guard, 1);
/// drop(guard);
/// drop(lock);
/// ```
///
/// Readers on several threads need a value that may be shared:
/// ```compile_fail,E0277
/// fn shared<T: Sync>() {}
/// shared::<netpoll::sync::RwLock<std::cell::Cell<u64>>>();
/// ```
/// ```compile_fail,E0277
/// fn shared<T: Sync>() {}
/// shared::<netpoll::sync::OnceLock<std::cell::Cell<u64>>>();
/// ```
/// ```no_run
/// fn shared<T: Sync>() {}
/// shared::<netpoll::sync::RwLock<u64>>();
/// shared::<netpoll::sync::OnceLock<u64>>();
/// shared::<netpoll::sync::Mutex<std::cell::Cell<u64>>>();
/// ```
struct Places;

/// A task borrows nothing that may be gone before it ends.
///
/// ```compile_fail,E0373
/// let n = 1;
/// netpoll::spawn(|| assert_eq!(n, 1)).join();
/// ```
/// ```compile_fail,E0597
/// let mut escaped = None;
/// {
///     let n = 1;
///     netpoll::scope(|s| escaped = Some(s.spawn(|| &n)));
/// }
/// ```
/// ```compile_fail,E0521
/// fn outlive<'scope, 'env>(s: &'scope netpoll::Scope<'scope, 'env>) -> netpoll::ScopedJoinHandle<'scope, ()> {
///     let n = 1;
///     s.spawn(|| assert_eq!(n, 1))
/// }
/// netpoll::scope(|s| outlive(s).join());
/// ```
/// ```compile_fail
/// fn shorter<'a, 'scope, 'env>(s: &'a netpoll::Scope<'scope, 'env>) -> &'a netpoll::Scope<'a, 'env> { s }
/// ```
/// ```no_run
/// let n = 1;
/// netpoll::spawn(move || assert_eq!(n, 1)).join();
/// netpoll::scope(|s| assert_eq!(*s.spawn(|| &n).join(), 1));
/// fn longer<'scope, 'env>(s: &'scope netpoll::Scope<'scope, 'env>) -> netpoll::ScopedJoinHandle<'scope, ()> {
///     let n = 1;
///     s.spawn(move || assert_eq!(n, 1))
/// }
/// netpoll::scope(|s| longer(s).join());
/// ```
///
/// Its result goes to the task that joins, so it must be one that may be sent:
/// ```compile_fail,E0277
/// netpoll::spawn(|| std::rc::Rc::new(1)).join();
/// ```
/// ```no_run
/// netpoll::spawn(|| std::sync::Arc::new(1)).join();
/// ```
///
/// ```compile_fail
/// fn shorter<'a>(handle: netpoll::JoinHandle<&'static u64>) -> netpoll::JoinHandle<&'a u64> { handle }
/// ```
/// ```no_run
/// fn same<'a>(handle: netpoll::JoinHandle<&'a u64>) -> netpoll::JoinHandle<&'a u64> { handle }
/// ```
struct Tasks;

/// A line stays with the task that has the output.
///
/// ```compile_fail,E0277
/// let mut line = netpoll::rt::Line::stdout();
/// netpoll::scope(|s| s.spawn(|| line.end()).join());
/// ```
/// ```no_run
/// let mut line = netpoll::rt::Line::stdout();
/// netpoll::scope(|s| line.end());
/// ```
///
/// So does the guard of a lock that counts for its thread.
/// ```compile_fail,E0277
/// static LOCK: lock_api::Mutex<netpoll::rt::RawLock, u64> = lock_api::Mutex::new(0);
/// let guard = LOCK.lock();
/// netpoll::scope(|s| s.spawn(|| drop(guard)).join());
/// ```
/// ```no_run
/// static LOCK: lock_api::Mutex<netpoll::rt::RawLock, u64> = lock_api::Mutex::new(0);
/// let guard = LOCK.lock();
/// drop(guard);
/// ```
struct Threads;

/// What the macros are given is not within their `unsafe`. (Those that make a whole program: `tests/refused.rs`.)
///
/// ```compile_fail,E0133
/// const unsafe fn duration() -> core::time::Duration { core::time::Duration::ZERO }
/// netpoll::select! { after(duration()) => () }
/// ```
/// ```compile_fail,E0133
/// const unsafe fn number() -> u64 { 1 }
/// netpoll::println!("{}", number());
/// ```
/// ```no_run
/// const fn number() -> u64 { 1 }
/// netpoll::println!("{}", number());
/// netpoll::select! { after(core::time::Duration::from_secs(number())) => () }
/// ```
struct Macros;

/// What takes a descriptor, or the machine, away from others says so.
///
/// ```compile_fail,E0133
/// let _ = netpoll::sys::fd::close(3);
/// ```
/// ```compile_fail,E0133
/// let _ = netpoll::sys::fd::dup3(0, 3, netpoll::sys::fd::OFlags::empty());
/// ```
/// ```compile_fail,E0133
/// use netpoll::sys::sandbox::{SeccompFlags, SockFilter, seccomp_set_mode_filter};
/// let _ = seccomp_set_mode_filter(SeccompFlags::empty(), &[SockFilter::ALLOW]);
/// ```
/// ```compile_fail,E0133
/// let _ = netpoll::io::OwnedFd::from_raw_fd(3);
/// ```
///
/// Some options hold an address that the kernel writes to.
/// ```compile_fail,E0133
/// let _ = netpoll::sys::sockopt::getsockopt(3, 6, 35, &mut [0; 40]);
/// ```
/// ```compile_fail,E0133
/// let _ = netpoll::sys::sockopt::setsockopt(3, 1, 26, &[0; 16]);
/// ```
/// ```no_run
/// // SAFETY: nobody has them.
/// unsafe {
///     use netpoll::sys::sandbox::{SeccompFlags, SockFilter, seccomp_set_mode_filter};
///     let _ = netpoll::sys::fd::close(3);
///     let _ = netpoll::sys::fd::dup3(0, 3, netpoll::sys::fd::OFlags::empty());
///     let _ = seccomp_set_mode_filter(SeccompFlags::empty(), &[SockFilter::ALLOW]);
///     let _ = netpoll::io::OwnedFd::from_raw_fd(3);
///     let _ = netpoll::sys::sockopt::getsockopt(3, 6, 35, &mut [0; 40]);
///     let _ = netpoll::sys::sockopt::setsockopt(3, 1, 26, &[0; 16]);
/// }
/// ```
///
/// The hook that a preempted task calls is the runtime's alone.
/// ```compile_fail
/// netpoll::arch::preempt_init(hook);
/// extern "C" fn hook() {}
/// ```
struct System;
