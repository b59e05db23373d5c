/* Many sockets read in one call: epoll says which have something, recvmmsg reads it, lanes make of it what they may. */
#include "native.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define MOST_BATCHES 8 /* of one socket in a round: others wait too, and what is left is there in the next */
#define MOST_READY 256
#define CONTROL_SIZE 128

#ifndef SO_RXQ_OVFL
#define SO_RXQ_OVFL 40
#endif

typedef struct {
    PyObject_HEAD
    int epoll;
    PyObject *lanes;   /* by descriptor */
    PyObject *journal; /* a list, or NULL */
} receiver_t;

/* Shared by all receivers: a call is over before the next one begins. */
static unsigned char data[BATCH][DATAGRAM_SIZE];
static address_t names[BATCH];
static struct {
    _Alignas(struct cmsghdr) unsigned char bytes[CONTROL_SIZE];
} controls[BATCH];
static struct iovec vectors[BATCH];
static struct mmsghdr messages[BATCH];
static int stale = BATCH; /* so many of them were written to by the last call */
static int reading;

static void prepare(void)
{
    for (int i = 0; i < stale; i++) {
        vectors[i] = (struct iovec){data[i], DATAGRAM_SIZE};
        messages[i] = (struct mmsghdr){
            .msg_hdr = {.msg_name = &names[i], .msg_namelen = sizeof names[i], .msg_iov = &vectors[i],
                        .msg_iovlen = 1, .msg_control = controls[i].bytes, .msg_controllen = CONTROL_SIZE}};
    }
}

static double unix_seconds(const struct timespec *instant)
{
    return (double)instant->tv_sec + (double)instant->tv_nsec * 1e-9;
}

/* When the kernel got the datagram, and how many it had thrown away by then. */
static double ancillary(struct msghdr *header, unsigned long *drops)
{
    struct timespec instant;
    int known = 0;

    *drops = 0;
    for (struct cmsghdr *one = CMSG_FIRSTHDR(header); one != NULL; one = CMSG_NXTHDR(header, one)) {
        if (one->cmsg_level != SOL_SOCKET)
            continue;
        if (one->cmsg_type == SCM_TIMESTAMPNS && one->cmsg_len >= CMSG_LEN(sizeof instant)) {
            memcpy(&instant, CMSG_DATA(one), sizeof instant);
            known = 1;
        } else if (one->cmsg_type == SO_RXQ_OVFL && one->cmsg_len >= CMSG_LEN(sizeof(uint32_t))) {
            uint32_t count;

            memcpy(&count, CMSG_DATA(one), sizeof count);
            *drops = count;
        }
    }
    if (!known)
        clock_gettime(CLOCK_REALTIME, &instant);
    return unix_seconds(&instant);
}

static int note(receiver_t *self, const lane_t *lane, const unsigned char *bytes, size_t size, double arrival)
{
    PyObject *event = Py_BuildValue("(iy#d)", lane->fd, (const char *)bytes, (Py_ssize_t)size, arrival);

    return lane_append(&self->journal, event);
}

/* Everything that waits at one socket; 0, or -1 with an exception set. */
static int read_socket(receiver_t *self, lane_t *lane, PyObject **events)
{
    for (int batch = 0; batch < MOST_BATCHES && lane->fd >= 0; batch++) {
        int count;

        prepare();
        count = recvmmsg(lane->fd, messages, BATCH, MSG_DONTWAIT, NULL);
        stale = count > 0 ? count : 0;
        if (count < 0) {
            if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
                return 0;
            /* an ICMP answer to what was sent; the socket stays good */
            return lane_append(events, PyObject_CallFunction(PyExc_OSError, "is", errno, strerror(errno)));
        }
        for (int i = 0; i < count; i++) {
            unsigned long drops;
            double arrival = ancillary(&messages[i].msg_hdr, &drops);

            if ((self->journal != NULL && note(self, lane, data[i], messages[i].msg_len, arrival) < 0)
                || lane_take(lane, data[i], messages[i].msg_len, arrival, &names[i], messages[i].msg_hdr.msg_namelen,
                             drops, events) < 0)
                return -1;
        }
        if (count < BATCH)
            return 0;
    }
    return 0;
}

static PyObject *receiver_round(PyObject *object, PyObject *none)
{
    receiver_t *self = (receiver_t *)object;
    struct epoll_event ready[MOST_READY];
    PyObject *found;
    int count, failed;

    (void)none;
    if (self->epoll < 0 || reading) {
        PyErr_SetString(PyExc_ValueError, reading ? "a round within a round" : "the receiver was closed");
        return NULL;
    }
    count = epoll_wait(self->epoll, ready, MOST_READY, 0);
    if (count < 0 && errno != EINTR)
        return PyErr_SetFromErrno(PyExc_OSError);
    if (count <= 0)
        Py_RETURN_NONE;
    /* Making objects may collect garbage, the list of what is found too, and that may take sockets out. */
    for (int i = 0; i < count; i++)
        Py_INCREF((PyObject *)ready[i].data.ptr);
    found = PyList_New(0);
    failed = found == NULL;
    reading = 1;
    for (int i = 0; i < count && !failed; i++) {
        lane_t *lane = ready[i].data.ptr;
        PyObject *events = NULL, *take;

        failed = read_socket(self, lane, &events) < 0;
        take = lane->take;
        if (!failed && events != NULL && take != NULL)
            failed = lane_append(&found, PyTuple_Pack(2, take, events)) < 0;
        Py_XDECREF(events);
    }
    reading = 0;
    for (int i = 0; i < count; i++)
        Py_DECREF((PyObject *)ready[i].data.ptr);
    if (failed) {
        Py_XDECREF(found);
        return NULL;
    }
    return found;
}

static PyObject *receiver_add(PyObject *object, PyObject *arguments)
{
    receiver_t *self = (receiver_t *)object;
    PyObject *take, *number;
    struct epoll_event event = {.events = EPOLLIN};
    lane_t *lane;
    int fd, failed;

    if (!PyArg_ParseTuple(arguments, "iO:add", &fd, &take))
        return NULL;
    if (self->epoll < 0 || self->lanes == NULL) {
        PyErr_SetString(PyExc_ValueError, "the receiver was closed");
        return NULL;
    }
    number = PyLong_FromLong(fd);
    if (number == NULL)
        return NULL;
    failed = PyDict_Contains(self->lanes, number); /* its lane must stay: epoll points to it */
    if (failed > 0)
        PyErr_Format(PyExc_ValueError, "descriptor %d is there already", fd);
    lane = failed ? NULL : (lane_t *)PyType_GenericAlloc(lane_type, 0);
    if (lane == NULL) {
        Py_DECREF(number);
        return NULL;
    }
    lane->take = Py_NewRef(take);
    lane->fd = fd;
    event.data.ptr = lane;
    failed = PyDict_SetItem(self->lanes, number, (PyObject *)lane) < 0;
    if (!failed && epoll_ctl(self->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
        int error = errno;

        PyDict_DelItem(self->lanes, number);
        errno = error;
        PyErr_SetFromErrno(PyExc_OSError);
        failed = 1;
    }
    Py_DECREF(number);
    if (failed) {
        Py_DECREF((PyObject *)lane);
        return NULL;
    }
    return (PyObject *)lane;
}

static PyObject *receiver_remove(PyObject *object, PyObject *argument)
{
    receiver_t *self = (receiver_t *)object;
    PyObject *lane = self->lanes != NULL ? PyDict_GetItemWithError(self->lanes, argument) : NULL; /* borrowed */

    if (lane == NULL) {
        if (!PyErr_Occurred())
            PyErr_SetObject(PyExc_KeyError, argument);
        return NULL;
    }
    /* One that was closed before may live on in a copy of its descriptor, and epoll still points to the lane then. */
    if (self->epoll >= 0 && epoll_ctl(self->epoll, EPOLL_CTL_DEL, ((lane_t *)lane)->fd, NULL) < 0
        && PyDict_SetItem(self->lanes, lane, lane) < 0)
        return NULL;
    ((lane_t *)lane)->fd = -1;
    ((lane_t *)lane)->armed = 0;
    if (PyDict_DelItem(self->lanes, argument) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *receiver_fileno(PyObject *object, PyObject *none)
{
    (void)none;
    return PyLong_FromLong(((receiver_t *)object)->epoll);
}

static PyObject *receiver_close(PyObject *object, PyObject *none)
{
    receiver_t *self = (receiver_t *)object;

    (void)none;
    if (self->epoll >= 0)
        close(self->epoll);
    self->epoll = -1;
    Py_RETURN_NONE;
}

static PyObject *receiver_new(PyTypeObject *type, PyObject *arguments, PyObject *named)
{
    receiver_t *self;

    if (!PyArg_ParseTuple(arguments, ":Receiver") || (named != NULL && PyDict_Size(named) != 0)) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_TypeError, "a Receiver takes no arguments");
        return NULL;
    }
    self = (receiver_t *)PyType_GenericAlloc(type, 0);
    if (self == NULL)
        return NULL;
    self->epoll = -1;
    self->lanes = PyDict_New();
    if (self->lanes == NULL) {
        Py_DECREF((PyObject *)self);
        return NULL;
    }
    self->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (self->epoll < 0) {
        Py_DECREF((PyObject *)self);
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return (PyObject *)self;
}

static PyObject *get_journal(PyObject *object, void *none)
{
    PyObject *journal = ((receiver_t *)object)->journal;

    (void)none;
    return Py_NewRef(journal != NULL ? journal : Py_None);
}

static int set_journal(PyObject *object, PyObject *value, void *none)
{
    receiver_t *self = (receiver_t *)object;
    PyObject *before = self->journal;

    (void)none;
    if (value == Py_None)
        value = NULL;
    if (value != NULL && !PyList_Check(value)) {
        PyErr_SetString(PyExc_TypeError, "a journal is a list, or None");
        return -1;
    }
    self->journal = Py_XNewRef(value);
    Py_XDECREF(before);
    return 0;
}

static int receiver_traverse(PyObject *object, visitproc visit, void *arg)
{
    receiver_t *self = (receiver_t *)object;

    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->lanes);
    Py_VISIT(self->journal);
    return 0;
}

static int receiver_clear(PyObject *object)
{
    receiver_t *self = (receiver_t *)object;

    if (self->epoll >= 0)
        close(self->epoll); /* before the lanes that it points to */
    self->epoll = -1;
    Py_CLEAR(self->lanes);
    Py_CLEAR(self->journal);
    return 0;
}

static void receiver_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);

    PyObject_GC_UnTrack(object);
    receiver_clear(object);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"add", receiver_add, METH_VARARGS, NULL},
    {"remove", receiver_remove, METH_O, NULL},
    {"round", receiver_round, METH_NOARGS, NULL},
    {"fileno", receiver_fileno, METH_NOARGS, NULL},
    {"close", receiver_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"journal", get_journal, set_journal, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, receiver_new},
    {Py_tp_dealloc, receiver_dealloc},
    {Py_tp_traverse, receiver_traverse},
    {Py_tp_clear, receiver_clear},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {0, NULL},
};

PyType_Spec receiver_spec = {
    .name = "vdibench_native.Receiver",
    .basicsize = sizeof(receiver_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = slots,
};
