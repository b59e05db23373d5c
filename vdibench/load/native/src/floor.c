/* The least that reception can cost here: the same sockets read by nothing but system calls, packets counted. */
#include "native.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define MOST_READY 256
#define WAIT_MILLISECONDS 50

typedef struct {
    unsigned long long packets, bytes, calls;
} count_t;

static double clock_seconds(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void one_by_one(int fd, count_t *count)
{
    static unsigned char buffer[DATAGRAM_SIZE];

    for (;;) {
        ssize_t size = recvfrom(fd, buffer, sizeof buffer, MSG_DONTWAIT, NULL, NULL);

        count->calls++;
        if (size < 0)
            return;
        count->packets++;
        count->bytes += (unsigned long long)size;
    }
}

static void many_at_once(int fd, count_t *count)
{
    static unsigned char buffers[BATCH][DATAGRAM_SIZE];
    struct iovec vectors[BATCH];
    struct mmsghdr messages[BATCH];
    int received;

    for (int i = 0; i < BATCH; i++) {
        vectors[i] = (struct iovec){buffers[i], DATAGRAM_SIZE};
        messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &vectors[i], .msg_iovlen = 1}};
    }
    received = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);
    count->calls++;
    for (int i = 0; i < received; i++) {
        count->packets++;
        count->bytes += messages[i].msg_len;
    }
}

static void run(int epoll, double seconds, int batched, double rest_seconds, count_t *count)
{
    double end = clock_seconds(CLOCK_MONOTONIC) + seconds;
    struct timespec rest = {(time_t)rest_seconds, (long)((rest_seconds - (double)(time_t)rest_seconds) * 1e9)};

    while (clock_seconds(CLOCK_MONOTONIC) < end) {
        struct epoll_event ready[MOST_READY];
        int found = epoll_wait(epoll, ready, MOST_READY, WAIT_MILLISECONDS);

        count->calls++;
        for (int i = 0; i < found; i++)
            (batched ? many_at_once : one_by_one)(ready[i].data.fd, count);
        if (batched)
            nanosleep(&rest, NULL);
    }
}

PyObject *floor_measure(PyObject *module, PyObject *arguments, PyObject *named)
{
    static char *words[] = {"sockets", "seconds", "mode", "rest_seconds", NULL};
    PyObject *sockets;
    double seconds, rest_seconds = 0.004, used, passed;
    const char *mode;
    count_t count = {0, 0, 0};
    Py_ssize_t total;
    int epoll, batched;

    (void)module;
    if (!PyArg_ParseTupleAndKeywords(arguments, named, "Ods|d:floor", words, &sockets, &seconds, &mode, &rest_seconds))
        return NULL;
    batched = strcmp(mode, "recvmmsg") == 0;
    if (!batched && strcmp(mode, "recvfrom") != 0) {
        PyErr_Format(PyExc_ValueError, "mode %s is neither recvfrom nor recvmmsg", mode);
        return NULL;
    }
    if (!(seconds >= 0 && seconds <= 3600) || !(rest_seconds >= 0 && rest_seconds <= 1)) {
        PyErr_SetString(PyExc_ValueError, "it measures an hour and rests a second at most");
        return NULL;
    }
    total = PySequence_Size(sockets);
    if (total < 0)
        return NULL;
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    for (Py_ssize_t i = 0; i < total; i++) {
        PyObject *item = PySequence_GetItem(sockets, i);
        struct epoll_event event = {.events = EPOLLIN};
        long fd = item != NULL ? PyLong_AsLong(item) : -1;

        Py_XDECREF(item);
        event.data.fd = (int)fd;
        if (!PyErr_Occurred() && epoll_ctl(epoll, EPOLL_CTL_ADD, (int)fd, &event) < 0)
            PyErr_SetFromErrno(PyExc_OSError);
        if (PyErr_Occurred()) {
            close(epoll);
            return NULL;
        }
    }
    Py_BEGIN_ALLOW_THREADS
    used = clock_seconds(CLOCK_THREAD_CPUTIME_ID);
    passed = clock_seconds(CLOCK_MONOTONIC);
    run(epoll, seconds, batched, rest_seconds, &count);
    used = clock_seconds(CLOCK_THREAD_CPUTIME_ID) - used;
    passed = clock_seconds(CLOCK_MONOTONIC) - passed;
    Py_END_ALLOW_THREADS
    close(epoll);
    return Py_BuildValue("{sKsKsKsdsd}", "packets", count.packets, "bytes", count.bytes, "calls", count.calls,
                         "cpu_seconds", used, "seconds", passed);
}
