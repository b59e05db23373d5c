/* The module: its types and what it was built with. */
#include "native.h"

static int add_type(PyObject *module, const char *name, PyType_Spec *spec, PyTypeObject **kept)
{
    PyObject *type = PyType_FromSpec(spec);

    if (type == NULL || PyModule_AddObjectRef(module, name, type) < 0) {
        Py_XDECREF(type);
        return -1;
    }
    if (kept != NULL)
        *kept = (PyTypeObject *)type; /* for good, as a type of a module that is never unloaded */
    else
        Py_DECREF(type);
    return 0;
}

static int fill(PyObject *module)
{
#ifdef VDIBENCH_SRTP
    PyObject *has_srtp = Py_True;
#else
    PyObject *has_srtp = Py_False;
#endif

    if (lane_type != NULL) {
        PyErr_SetString(PyExc_ImportError, "vdibench_native is for one interpreter in a process");
        return -1;
    }
    if (run_type() == NULL || PyModule_AddObjectRef(module, "Run", (PyObject *)run_type()) < 0
        || add_type(module, "Sender", &sender_spec, NULL) < 0 || add_type(module, "Keys", &keys_spec, &keys_type) < 0
        || add_type(module, "Receiver", &receiver_spec, NULL) < 0
        || add_type(module, "Lane", &lane_spec, &lane_type) < 0)
        return -1;
    return PyModule_AddObjectRef(module, "HAS_SRTP", has_srtp);
}

static PyMethodDef functions[] = {
    {"floor", (PyCFunction)(void (*)(void))floor_measure, METH_VARARGS | METH_KEYWORDS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, fill},
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "vdibench_native._native",
    .m_size = 0,
    .m_methods = functions,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__native(void)
{
    return PyModuleDef_Init(&definition);
}
