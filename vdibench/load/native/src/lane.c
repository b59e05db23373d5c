/* One socket's datagrams: those that continue an armed stream are added up, all others go to Python as they came.

   A lane decides nothing. Python arms it with the one packet that may come next; from there on it follows the stream
   as long as every packet is the next one, and disarms itself at the first that is not. What was added up by then is
   handed over before that packet, so that Python sees everything in order. */
#include "native.h"

#include <string.h>

#define CHECK_EVERY 0x1000 /* as vdibench.client.streams: one packet in so many is looked at by Python */

PyTypeObject *lane_type;

static PyStructSequence_Field run_fields[] = {
    {"sequence", "of the first packet"},
    {"timestamp", "RTP time stamp of all packets"},
    {"packets", "how many"},
    {"size_bytes", "RTP payload of all packets"},
    {"first_size_bytes", "RTP payload of the first one"},
    {"first_arrival_unix_seconds", "arrival of the first packet"},
    {"last_arrival_unix_seconds", "arrival of the last packet"},
    {"begins", "the first packet is a frame's first"},
    {"ends", "the last packet is a frame's last"},
    {"first_head", "RTP header of the first packet, where it begins a frame and has extensions; else empty"},
    {"last_head", "RTP header of the last packet, where it ends a frame and has extensions; else empty"},
    {"key", "a packet belongs to a key frame; known only with keys"},
    {NULL, NULL},
};

static PyStructSequence_Desc run_description = {
    "vdibench_native.Run",
    "Packets of one frame that came one after the other, added up.",
    run_fields,
    12,
};

PyTypeObject *run_type(void)
{
    static PyTypeObject *type;

    if (type == NULL)
        type = PyStructSequence_NewType(&run_description);
    return type;
}

int lane_append(PyObject **events, PyObject *event)
{
    int failed;

    if (event == NULL)
        return -1;
    if (*events == NULL)
        *events = PyList_New(0);
    failed = *events == NULL || PyList_Append(*events, event) < 0;
    Py_DECREF(event);
    return failed ? -1 : 0;
}

static unsigned get16(const unsigned char *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

static uint32_t get32(const unsigned char *at)
{
    return (uint32_t)get16(at) << 16 | get16(at + 2);
}

/* The sum so far as a Run; the lane begins with nothing again. */
static PyObject *handed_over(lane_t *lane, int ends)
{
    sum_t *sum = &lane->sum;
    PyObject *run = PyStructSequence_New(run_type()), *values[12];
    int missing = 0;

    if (run == NULL)
        return NULL;
    values[0] = PyLong_FromLong(sum->sequence);
    values[1] = PyLong_FromUnsignedLong(lane->timestamp);
    values[2] = PyLong_FromUnsignedLong(sum->packets);
    values[3] = PyLong_FromUnsignedLongLong(sum->bytes);
    values[4] = PyLong_FromLong(sum->first_bytes);
    values[5] = PyFloat_FromDouble(sum->first_arrival);
    values[6] = PyFloat_FromDouble(sum->last_arrival);
    values[7] = PyBool_FromLong(sum->begins);
    values[8] = PyBool_FromLong(ends);
    values[9] = PyBytes_FromStringAndSize((const char *)sum->first.bytes, sum->first.size);
    values[10] = PyBytes_FromStringAndSize((const char *)sum->last.bytes, ends ? sum->last.size : 0);
    values[11] = PyBool_FromLong(sum->key);
    for (int i = 0; i < 12; i++) {
        missing |= values[i] == NULL;
        PyStructSequence_SetItem(run, i, values[i]); /* takes it over, and may be NULL */
    }
    sum->packets = 0;
    sum->bytes = 0;
    sum->begins = sum->key = sum->first.size = sum->last.size = 0;
    if (missing) {
        Py_DECREF(run);
        return NULL;
    }
    return run;
}

static int disarm(lane_t *lane, PyObject **events)
{
    lane->armed = 0;
    return lane->sum.packets ? lane_append(events, handed_over(lane, 0)) : 0;
}

static void keep(head_t *head, const unsigned char *data, size_t size)
{
    memcpy(head->bytes, data, size);
    head->size = (int)size;
}

static int is_control(const unsigned char *data, size_t size)
{
    return size > 1 && data[1] >= 192 && data[1] <= 223;
}

/* Whether Python's streams would look at the packet at all. */
static int touches(const lane_t *lane, const unsigned char *data, size_t size)
{
    unsigned payload_type;

    if (size < RTP_HEADER_SIZE || is_control(data, size))
        return 0;
    payload_type = data[1] & 0x7F;
    return lane->touching[payload_type >> 3] >> (payload_type & 7) & 1;
}

/* Decrypt for the sake of key frames and of forged packets; -1 when it does not, else whether it is of a key frame. */
static int look_inside(const lane_t *lane, const unsigned char *data, size_t size)
{
    static unsigned char clear[DATAGRAM_SIZE];
    size_t payload_size;

    if (srtp_session_unprotect(((keys_t *)lane->keys)->session, data, size, clear, &payload_size) < 0)
        return -1;
    return payload_is_key(lane->codec, clear, payload_size);
}

/* Add a packet up; whether it was the one to come. */
static int add_up(lane_t *lane, const unsigned char *data, size_t size, double arrival, PyObject **events, int *failed)
{
    sum_t *sum = &lane->sum;
    size_t begin = RTP_HEADER_SIZE;
    long payload;
    int marker = data[1] >> 7, opens, key;
    unsigned sequence = get16(data + 2);
    uint32_t timestamp = get32(data + 4);

    if (size < 16 || sequence != lane->next || (data[1] & 0x7F) != lane->payload_type
        || get32(data + 8) != lane->ssrc || (data[0] & 0xEF) != 0x80
        || (uint16_t)(sequence - lane->checked) >= CHECK_EVERY)
        return 0;
    if (data[0] & 0x10)
        begin += 4 + 4 * (size_t)get16(data + 14);
    payload = (long)size - lane->overhead - (long)begin;
    if (payload <= 0)
        return 0;
    opens = !lane->open;
    if (opens ? timestamp == lane->timestamp || (lane->has_avoided && timestamp == lane->avoided)
              : timestamp != lane->timestamp || (marker && !lane->whole))
        return 0;
    if ((opens || marker) && begin > HEAD_SIZE)
        return 0;
    key = lane->keys != NULL ? look_inside(lane, data, size) : 0;
    if (key < 0)
        return 0;
    if (sum->packets == 0) {
        sum->sequence = (uint16_t)sequence;
        sum->first_bytes = (int)payload;
        sum->first_arrival = arrival;
        sum->begins = opens;
    }
    if (opens) {
        lane->timestamp = timestamp;
        lane->open = 1;
        if (data[0] & 0x10)
            keep(&sum->first, data, begin);
    }
    sum->packets++;
    sum->bytes += (unsigned long)payload;
    sum->last_arrival = arrival;
    sum->key |= key;
    lane->next = (uint16_t)(sequence + 1);
    if (marker) {
        if (data[0] & 0x10)
            keep(&sum->last, data, begin);
        lane->open = 0;
        *failed = lane_append(events, handed_over(lane, 1)) < 0;
    }
    return 1;
}

int lane_take(lane_t *lane, const unsigned char *data, size_t size, double arrival, const address_t *from,
              socklen_t from_size, unsigned long drops, PyObject **events)
{
    int media = size > 0 && data[0] >= 128 && data[0] <= 191, failed = 0;
    PyObject *address;

    if (drops)
        lane->drops = drops;
    if (lane->armed && media && touches(lane, data, size)) {
        if (add_up(lane, data, size, arrival, events, &failed))
            return failed ? -1 : 0;
        if (disarm(lane, events) < 0)
            return -1;
    }
    /* A sender report sets the clock by which the extensions of earlier packets were read. */
    if (media && is_control(data, size) && lane->sum.packets && lane_append(events, handed_over(lane, 0)) < 0)
        return -1;
    if (!media && size > 0 && data[0] < 4 && from_size) {
        address = address_to_python(from, from_size);
        if (address == NULL)
            return -1;
    } else {
        address = Py_NewRef(Py_None);
    }
    return lane_append(events, Py_BuildValue("(y#dNk)", (const char *)data, (Py_ssize_t)size, arrival, address, drops));
}

/* for Python */

static PyObject *lane_arm(PyObject *object, PyObject *arguments, PyObject *named)
{
    static char *names[] = {"sequence", "timestamp", "ssrc",  "payload_type", "overhead", "checked",
                            "open",     "whole",     "avoid", "codec",        NULL};
    lane_t *lane = (lane_t *)object;
    int sequence, payload_type, overhead, checked, open, whole;
    unsigned long timestamp, ssrc;
    long long avoid = -1;
    const char *codec = "";

    if (!PyArg_ParseTupleAndKeywords(arguments, named, "ikkiiipp|Ls:arm", names, &sequence, &timestamp, &ssrc,
                                     &payload_type, &overhead, &checked, &open, &whole, &avoid, &codec))
        return NULL;
    if (lane->sum.packets) {
        PyErr_SetString(PyExc_ValueError, "take what was added up first");
        return NULL;
    }
    if (!open && !whole) {
        PyErr_SetString(PyExc_ValueError, "between frames only whole ones can follow");
        return NULL;
    }
    if (overhead < 0 || overhead > DATAGRAM_SIZE) {
        PyErr_SetString(PyExc_ValueError, "no datagram has such an overhead");
        return NULL;
    }
    lane->next = (uint16_t)sequence;
    lane->timestamp = (uint32_t)timestamp;
    lane->ssrc = (uint32_t)ssrc;
    lane->payload_type = payload_type;
    lane->overhead = overhead;
    lane->checked = (uint16_t)checked;
    lane->open = open;
    lane->whole = whole;
    lane->has_avoided = avoid >= 0;
    lane->avoided = (uint32_t)avoid;
    lane->codec = strcmp(codec, "H264") == 0 ? CODEC_H264 : strcmp(codec, "VP8") == 0 ? CODEC_VP8 : CODEC_OTHER;
    lane->armed = 1;
    Py_RETURN_NONE;
}

static PyObject *lane_sum(PyObject *object, PyObject *none)
{
    lane_t *lane = (lane_t *)object;

    (void)none;
    if (lane->sum.packets == 0)
        Py_RETURN_NONE;
    return handed_over(lane, 0);
}

static PyObject *lane_disarm(PyObject *object, PyObject *none)
{
    ((lane_t *)object)->armed = 0;
    return lane_sum(object, none);
}

static PyObject *lane_touch(PyObject *object, PyObject *types)
{
    lane_t *lane = (lane_t *)object;
    PyObject *iterator = PyObject_GetIter(types), *item;
    unsigned char touching[16] = {0};

    if (iterator == NULL)
        return NULL;
    while ((item = PyIter_Next(iterator)) != NULL) {
        long type = PyLong_AsLong(item);

        Py_DECREF(item);
        if (PyErr_Occurred())
            break;
        if (type < 0 || type > 127) {
            PyErr_SetString(PyExc_ValueError, "a payload type has 7 bits");
            break;
        }
        touching[type >> 3] |= (unsigned char)(1 << (type & 7));
    }
    Py_DECREF(iterator);
    if (PyErr_Occurred())
        return NULL;
    memcpy(lane->touching, touching, sizeof touching);
    Py_RETURN_NONE;
}

static PyObject *lane_feed(PyObject *object, PyObject *arguments)
{
    Py_buffer data;
    double arrival;
    PyObject *events = NULL;
    int failed;

    if (!PyArg_ParseTuple(arguments, "y*d:feed", &data, &arrival))
        return NULL;
    if (data.len > DATAGRAM_SIZE)
        data.len = DATAGRAM_SIZE; /* as what comes from a socket is cut off */
    failed = lane_take((lane_t *)object, data.buf, (size_t)data.len, arrival, NULL, 0, 0, &events) < 0;
    PyBuffer_Release(&data);
    if (failed) {
        Py_XDECREF(events);
        return NULL;
    }
    return events != NULL ? events : PyList_New(0);
}

static PyObject *get_armed(PyObject *object, void *none)
{
    (void)none;
    return PyBool_FromLong(((lane_t *)object)->armed);
}

static PyObject *get_drops(PyObject *object, void *none)
{
    (void)none;
    return PyLong_FromUnsignedLong(((lane_t *)object)->drops);
}

static PyObject *get_keys(PyObject *object, void *none)
{
    PyObject *keys = ((lane_t *)object)->keys;

    (void)none;
    return Py_NewRef(keys != NULL ? keys : Py_None);
}

static int set_keys(PyObject *object, PyObject *value, void *none)
{
    lane_t *lane = (lane_t *)object;
    PyObject *before = lane->keys;

    (void)none;
    if (value == Py_None)
        value = NULL;
    if (value != NULL && !PyObject_TypeCheck(value, keys_type)) {
        PyErr_SetString(PyExc_TypeError, "keys are Keys, or None");
        return -1;
    }
    lane->keys = Py_XNewRef(value);
    Py_XDECREF(before);
    return 0;
}

static int lane_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(((lane_t *)object)->take);
    return 0;
}

static int lane_clear(PyObject *object)
{
    Py_CLEAR(((lane_t *)object)->take);
    return 0;
}

static void lane_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);

    PyObject_GC_UnTrack(object);
    lane_clear(object);
    Py_CLEAR(((lane_t *)object)->keys);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"arm", (PyCFunction)(void (*)(void))lane_arm, METH_VARARGS | METH_KEYWORDS, NULL},
    {"sum", lane_sum, METH_NOARGS, NULL},
    {"disarm", lane_disarm, METH_NOARGS, NULL},
    {"touch", lane_touch, METH_O, NULL},
    {"feed", lane_feed, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"armed", get_armed, NULL, NULL, NULL},
    {"drops", get_drops, NULL, NULL, NULL},
    {"keys", get_keys, set_keys, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_dealloc, lane_dealloc},
    {Py_tp_traverse, lane_traverse},
    {Py_tp_clear, lane_clear},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {0, NULL},
};

PyType_Spec lane_spec = {
    .name = "vdibench_native.Lane",
    .basicsize = sizeof(lane_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots,
};
