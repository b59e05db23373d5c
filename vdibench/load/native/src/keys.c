/* Keys of one peer's media. Its lanes and Python share them, and with them one roll-over counter and one memory of what
   came before: each packet is decrypted once, by whoever takes it, in order of arrival. */
#include "native.h"

#include <string.h>

PyTypeObject *keys_type;

static PyObject *keys_new(PyTypeObject *type, PyObject *arguments, PyObject *named)
{
    static char *names[] = {"key", "profile", NULL};
    Py_buffer key;
    int profile;
    srtp_session_t *session;
    keys_t *self;

    if (!PyArg_ParseTupleAndKeywords(arguments, named, "y*i:Keys", names, &key, &profile))
        return NULL;
    session = srtp_session_new(key.buf, key.len, profile, 0);
    PyBuffer_Release(&key);
    if (session == NULL)
        return NULL;
    self = (keys_t *)PyType_GenericAlloc(type, 0);
    if (self == NULL) {
        srtp_session_free(session);
        return NULL;
    }
    self->session = session;
    return (PyObject *)self;
}

static PyObject *keys_unprotect(PyObject *object, PyObject *packet)
{
    static unsigned char whole[DATAGRAM_SIZE], clear[DATAGRAM_SIZE];
    Py_buffer data;
    size_t size = 0;
    int header = -1;

    if (PyObject_GetBuffer(packet, &data, PyBUF_SIMPLE) < 0)
        return NULL;
    if (data.len <= DATAGRAM_SIZE)
        header = srtp_session_unprotect(((keys_t *)object)->session, data.buf, (size_t)data.len, clear, &size);
    if (header >= 0) {
        memcpy(whole, data.buf, (size_t)header);
        memcpy(whole + header, clear, size);
    }
    PyBuffer_Release(&data);
    if (header < 0) {
        PyErr_SetString(PyExc_ValueError, "it does not decrypt");
        return NULL;
    }
    return PyBytes_FromStringAndSize((const char *)whole, header + (Py_ssize_t)size);
}

static void keys_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);

    srtp_session_free(((keys_t *)object)->session);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"unprotect", keys_unprotect, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_methods, methods},
    {Py_tp_new, keys_new},
    {Py_tp_dealloc, keys_dealloc},
    {0, NULL},
};

PyType_Spec keys_spec = {
    .name = "vdibench_native.Keys",
    .basicsize = sizeof(keys_t),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = slots,
};
