/* Socket addresses from and to Python. */
#include "native.h"

#include <arpa/inet.h>
#include <string.h>

int address_parse(const char *host, int port, address_t *address, socklen_t *size)
{
    memset(address, 0, sizeof *address);
    if (port < 1 || port > 65535) {
        PyErr_Format(PyExc_ValueError, "port %d is none of 1 to 65535", port);
        return -1;
    }
    if (inet_pton(AF_INET, host, &address->four.sin_addr) == 1) {
        address->four.sin_family = AF_INET;
        address->four.sin_port = htons((uint16_t)port);
        *size = sizeof address->four;
        return 0;
    }
    if (inet_pton(AF_INET6, host, &address->six.sin6_addr) == 1) {
        address->six.sin6_family = AF_INET6;
        address->six.sin6_port = htons((uint16_t)port);
        *size = sizeof address->six;
        return 0;
    }
    PyErr_Format(PyExc_ValueError, "%s is no numeric address", host);
    return -1;
}

PyObject *address_to_python(const address_t *address, socklen_t size)
{
    char host[INET6_ADDRSTRLEN];

    if (size >= sizeof address->four && address->any.sa_family == AF_INET
        && inet_ntop(AF_INET, &address->four.sin_addr, host, sizeof host) != NULL)
        return Py_BuildValue("(si)", host, (int)ntohs(address->four.sin_port));
    if (size >= sizeof address->six && address->any.sa_family == AF_INET6
        && inet_ntop(AF_INET6, &address->six.sin6_addr, host, sizeof host) != NULL)
        return Py_BuildValue("(si)", host, (int)ntohs(address->six.sin6_port));
    Py_RETURN_NONE;
}
