/* An echo over socket pairs by the poller: as many connections as the argument says, each a state machine. The other
 * ends are a thread's, which writes, reads what comes back, and says that it is done. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netpoll.h"

#define ROUNDS 100

struct connection {
    struct np_task task; /* first: a task's address is its connection's */
    np_desc desc;
    int fd, peer;
    char buf[64];
    ssize_t have, sent;
};

static int must(int result, const char *what) {
    if (result < 0) {
        fprintf(stderr, "%s: %s\n", what, strerror(-result));
        exit(1);
    }
    return result;
}

static struct np_task done;

static void *peers(void *arg) {
    struct connection *connections = arg;
    char answer[64];
    for (int round = 0; round < ROUNDS; round++)
        for (struct connection *c = connections; c->desc; c++) {
            int n = snprintf(answer, sizeof answer, "round %d", round);
            if (write(c->peer, answer, n) != n || read(c->peer, answer, sizeof answer) != n)
                exit(2);
        }
    must(np_ready(&done), "np_ready");
    return NULL;
}

/* Goes on until there is something to wait for. Returns 0 when the connection has ended. */
static int run(struct connection *c) {
    for (;;) {
        enum np_mode mode = c->sent < c->have ? NP_WRITE : NP_READ;
        ssize_t n = mode == NP_WRITE ? write(c->fd, c->buf + c->sent, c->have - c->sent)
                                     : read(c->fd, c->buf, sizeof c->buf);
        if (n < 0 && errno == EAGAIN) {
            int result = np_arm(c->desc, mode, &c->task);
            if (result == -EBADF || result == -ETIMEDOUT)
                return 0;
            if (must(result, "np_arm") == 0)
                return 1;
        } else if (n <= 0)
            return 0;
        else if (mode == NP_WRITE)
            c->sent += n;
        else
            c->have = n, c->sent = 0;
    }
}

int main(int argc, char **argv) {
    int count = argc > 1 ? atoi(argv[1]) : 1, alive = count, deadlines = 0;
    struct connection *connections = calloc(count + 1, sizeof *connections);
    for (struct connection *c = connections; c < connections + count; c++) {
        int pair[2];
        must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 ? -errno : 0, "socketpair");
        c->fd = pair[0], c->peer = pair[1];
        must(fcntl(c->fd, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0, "fcntl");
        must(np_open(c->fd, &c->desc), "np_open");
        run(c);
    }
    pthread_t thread;
    if (pthread_create(&thread, NULL, peers, connections))
        return 1;
    while (alive) {
        struct np_task *tasks;
        must(np_wait(-1, &tasks), "np_wait");
        while (tasks) {
            struct np_task *task = tasks;
            tasks = task->next; /* before it waits again */
            if (task == &done) {
                /* Half of them by a deadline, half by the end of the stream. */
                for (int i = 0; i < count; i++)
                    if (i % 2)
                        must(np_deadline(connections[i].desc, NP_READ, 1000000), "np_deadline"), deadlines++;
                    else
                        close(connections[i].peer);
            } else if (!run((struct connection *)task)) {
                struct connection *c = (struct connection *)task;
                must(np_close(c->desc), "np_close");
                close(c->fd);
                alive--;
            }
        }
    }
    pthread_join(thread, NULL);
    printf("%d connections, %d rounds, %d deadlines\n", count, ROUNDS, deadlines);
    return 0;
}
