/* The module: its types and what it was built with. */
#include "native.h"

static int fill(PyObject *module)
{
    PyType_Spec *specs[] = {&sender_spec};
    const char *names[] = {"Sender"};
#ifdef VDIBENCH_SRTP
    PyObject *has_srtp = Py_True;
#else
    PyObject *has_srtp = Py_False;
#endif

    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        PyObject *type = PyType_FromSpec(specs[i]);
        int failed = type == NULL || PyModule_AddObjectRef(module, names[i], type) < 0;

        Py_XDECREF(type);
        if (failed)
            return -1;
    }
    return PyModule_AddObjectRef(module, "HAS_SRTP", has_srtp);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, fill},
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "vdibench_native._native",
    .m_size = 0,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__native(void)
{
    return PyModuleDef_Init(&definition);
}
