/* The poller of the crate netpoll for a C program's event loop: no threads, no allocator, no libc of its own.
 *
 * A descriptor is registered once, edge triggered. Try your operation; on EAGAIN np_arm says that a task waits for
 * the next edge, np_wait says which tasks can try again. Results below 0 are -errno. */
#ifndef NETPOLL_H
#define NETPOLL_H

#include <stdint.h>

/* A descriptor that is registered. Never 0, and no number twice: what has been closed is refused, with -EBADF. */
typedef uint64_t np_desc;

/* What waits: the first member of a structure of yours. From np_arm (or np_ready) until np_wait returns it, it is
 * the poller's: leave it alone, and where it is. */
struct np_task {
    struct np_task *next;
};

enum np_mode { NP_READ, NP_WRITE };

/* Registers `fd`, which is non-blocking. -EPERM: a file, which never makes anybody wait. */
int np_open(int fd, np_desc *desc);

/* Has `task` wait. 0: it does. 1: it need not, try again at once. -EBUSY: another one waits in this direction.
 * -ETIMEDOUT: np_deadline is past. */
int np_arm(np_desc desc, enum np_mode mode, struct np_task *task);

/* In `nanos` nanoseconds a task that waits in this direction is woken, and later ones do not wait. Below 0: no limit. */
int np_deadline(np_desc desc, enum np_mode mode, int64_t nanos);

/* Waits until a task can go on, at most `nanos` (below 0: no limit). The tasks, a list through `next`, go to
 * `tasks`; NULL if the time is up. One thread at a time. */
int np_wait(int64_t nanos, struct np_task **tasks);

/* From any thread: np_wait returns this task, which waits for nothing. */
int np_ready(struct np_task *task);

/* Forgets the descriptor. What waits for it comes out of np_wait. Before close(2). */
int np_close(np_desc desc);

#endif
