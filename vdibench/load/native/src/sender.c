/* One source of RTP: builds headers, protects, sends many packets with few calls, never blocks. */
#include "native.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define BATCH 64
#define MOST_EXTENSION_BYTES 255 /* what a one-byte form can need at most */
#define ONE_BYTE_FORM 0xBEDE

typedef struct {
    PyObject_HEAD
    int fd;
    address_t to;
    socklen_t to_size;
    srtp_session_t *srtp;
    uint32_t ssrc;
    uint16_t sequence;
    uint8_t payload_type;
} sender_t;

/* Shared by all senders: a call is over before the next one begins. */
static unsigned char packets[BATCH][DATAGRAM_SIZE];
static struct iovec vectors[BATCH];
static struct mmsghdr messages[BATCH];

static PyObject *sender_new(PyTypeObject *type, PyObject *arguments, PyObject *named)
{
    static char *names[] = {"fd", "host", "port", "key", "profile", "ssrc", "payload_type", NULL};
    int fd, port, profile, payload_type;
    const char *host;
    Py_buffer key;
    unsigned long ssrc;
    sender_t *self;

    if (!PyArg_ParseTupleAndKeywords(arguments, named, "isiy*iki:Sender", names, &fd, &host, &port, &key, &profile,
                                     &ssrc, &payload_type))
        return NULL;
    self = (sender_t *)PyType_GenericAlloc(type, 0);
    if (self == NULL)
        goto failed;
    self->fd = -1;
    if (payload_type < 0 || payload_type > 127 || ssrc > UINT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "a payload type has 7 bits, a source 32");
        goto failed;
    }
    if (address_parse(host, port, &self->to, &self->to_size) < 0)
        goto failed;
    if (profile != 0) {
        self->srtp = srtp_session_new(key.buf, key.len, profile, 1);
        if (self->srtp == NULL)
            goto failed;
    }
    /* A copy: the caller's number may belong to another file by the time of the next call. */
    self->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (self->fd < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        goto failed;
    }
    self->ssrc = (uint32_t)ssrc;
    self->payload_type = (uint8_t)payload_type;
    PyBuffer_Release(&key);
    return (PyObject *)self;
failed:
    PyBuffer_Release(&key);
    Py_XDECREF((PyObject *)self);
    return NULL;
}

static void release(sender_t *self)
{
    if (self->fd >= 0)
        close(self->fd);
    self->fd = -1;
    srtp_session_free(self->srtp);
    self->srtp = NULL;
}

static void sender_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);

    release((sender_t *)object);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

static PyObject *sender_close(PyObject *object, PyObject *none)
{
    (void)none;
    release((sender_t *)object);
    Py_RETURN_NONE;
}

static void put16(unsigned char *at, unsigned value)
{
    at[0] = (unsigned char)(value >> 8);
    at[1] = (unsigned char)value;
}

static void put32(unsigned char *at, uint32_t value)
{
    put16(at, value >> 16);
    put16(at + 2, value & 0xFFFF);
}

/* Header, extension and payload of one packet, protected; its size, or -1 with an exception set. */
static int build(sender_t *self, unsigned char *packet, const Py_buffer *payload, const Py_buffer *extension,
                 uint32_t timestamp, int marker)
{
    int size = RTP_HEADER_SIZE;
    Py_ssize_t words = (extension->len + 3) / 4, extra = words ? 4 + 4 * words : 0;

    if (payload->len + size + extra + srtp_session_trailer() > DATAGRAM_SIZE) {
        PyErr_Format(PyExc_ValueError, "a payload of %zd bytes does not fit into one datagram", payload->len);
        return -1;
    }
    packet[0] = words ? 0x90 : 0x80;
    packet[1] = (unsigned char)(self->payload_type | (marker ? 0x80 : 0));
    put16(packet + 2, self->sequence);
    put32(packet + 4, timestamp);
    put32(packet + 8, self->ssrc);
    if (words) {
        put16(packet + size, ONE_BYTE_FORM);
        put16(packet + size + 2, (unsigned)words);
        memset(packet + size + 4, 0, (size_t)(4 * words));
        memcpy(packet + size + 4, extension->buf, (size_t)extension->len);
        size += (int)extra;
    }
    if (payload->len)
        memcpy(packet + size, payload->buf, (size_t)payload->len);
    size += (int)payload->len;
    if (self->srtp != NULL && !srtp_session_protect(self->srtp, packet, &size)) {
        PyErr_Format(PyExc_OSError, "OpenSSL does not protect packet %d of source %lu", (int)self->sequence,
                     (unsigned long)self->ssrc);
        return -1;
    }
    self->sequence++;
    return size;
}

/* Send `count` messages; how many were taken, or -1 with an exception set. */
static int transmit(int fd, int count)
{
    int done = 0;

    while (done < count) {
        int sent = sendmmsg(fd, messages + done, (unsigned)(count - done), MSG_DONTWAIT);
        if (sent > 0) {
            done += sent;
            continue;
        }
        if (errno == EINTR)
            continue;
        if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS)
            break;
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    return done;
}

static PyObject *sender_send(PyObject *object, PyObject *arguments, PyObject *named)
{
    static char *names[] = {"payloads", "timestamp", "marker_last", "extension", NULL};
    sender_t *self = (sender_t *)object;
    PyObject *payloads, *item;
    Py_buffer extension = {.buf = NULL, .len = 0}, payload;
    unsigned long timestamp;
    int marker_last, failed = 0;
    Py_ssize_t total, next = 0, taken = 0;
    unsigned long long bytes = 0;

    if (!PyArg_ParseTupleAndKeywords(arguments, named, "Okp|y*:send", names, &payloads, &timestamp, &marker_last,
                                     &extension))
        return NULL;
    total = PySequence_Size(payloads);
    if (self->fd < 0 && total >= 0)
        PyErr_SetString(PyExc_ValueError, "the sender was closed");
    else if (extension.len > MOST_EXTENSION_BYTES)
        PyErr_SetString(PyExc_ValueError, "a one-byte extension has at most 255 bytes");
    failed = PyErr_Occurred() != NULL;
    while (!failed && next < total) {
        int lengths[BATCH], count = 0, sent;

        for (; count < BATCH && next < total; count++, next++) {
            int size;

            item = PySequence_GetItem(payloads, next);
            if (item == NULL || PyObject_GetBuffer(item, &payload, PyBUF_SIMPLE) < 0) {
                Py_XDECREF(item);
                failed = 1;
                break;
            }
            size = build(self, packets[count], &payload, &extension, (uint32_t)timestamp,
                         marker_last && next == total - 1);
            lengths[count] = (int)payload.len;
            PyBuffer_Release(&payload);
            Py_DECREF(item);
            if (size < 0) {
                failed = 1;
                break;
            }
            vectors[count] = (struct iovec){packets[count], (size_t)size};
            messages[count] = (struct mmsghdr){
                .msg_hdr = {.msg_name = &self->to, .msg_namelen = self->to_size, .msg_iov = &vectors[count],
                            .msg_iovlen = 1}};
        }
        if (failed)
            break;
        sent = transmit(self->fd, count);
        if (sent < 0) {
            failed = 1;
            break;
        }
        taken += sent;
        for (int i = 0; i < sent; i++)
            bytes += (unsigned)lengths[i];
    }
    if (extension.buf != NULL)
        PyBuffer_Release(&extension);
    return failed ? NULL : Py_BuildValue("(nKn)", taken, bytes, total - taken);
}

static PyObject *get_sequence(PyObject *object, void *none)
{
    (void)none;
    return PyLong_FromLong(((sender_t *)object)->sequence);
}

static int set_sequence(PyObject *object, PyObject *value, void *none)
{
    long sequence = value != NULL ? PyLong_AsLong(value) : -1;

    (void)none;
    if (PyErr_Occurred())
        return -1;
    if (sequence < 0 || sequence > 0xFFFF) {
        PyErr_SetString(PyExc_ValueError, "a sequence number has 16 bits");
        return -1;
    }
    ((sender_t *)object)->sequence = (uint16_t)sequence;
    return 0;
}

static PyMethodDef methods[] = {
    {"send", (PyCFunction)(void (*)(void))sender_send, METH_VARARGS | METH_KEYWORDS, NULL},
    {"close", sender_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"sequence", get_sequence, set_sequence, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, sender_new},
    {Py_tp_dealloc, sender_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {0, NULL},
};

PyType_Spec sender_spec = {
    .name = "vdibench_native.Sender",
    .basicsize = sizeof(sender_t),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = slots,
};
