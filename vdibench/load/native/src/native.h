/* What the parts of the module share. Everything is called with the interpreter's lock held. */
#ifndef VDIBENCH_NATIVE_H
#define VDIBENCH_NATIVE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* The largest datagram that is read or sent: WebRTC's fit into an Ethernet frame. */
#define DATAGRAM_SIZE 2048
#define RTP_HEADER_SIZE 12

/* address.c */
typedef union {
    struct sockaddr any;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
} address_t;

/* A numeric host and a port; 0, or -1 with an exception set. */
int address_parse(const char *host, int port, address_t *address, socklen_t *size);

/* A tuple (host, port) of a datagram's sender; None where there is none. */
PyObject *address_to_python(const address_t *address, socklen_t size);

/* srtp.c; without libsrtp2 every call but srtp_session_free refuses. */
typedef struct srtp_session srtp_session_t;

/* A session for any source that sends (outbound) or is received; NULL with an exception set. */
srtp_session_t *srtp_session_new(const unsigned char *key, Py_ssize_t size, int profile, int outbound);
void srtp_session_free(srtp_session_t *session);

/* In place; `*size` is that of the packet, before and after. Whether it worked. */
int srtp_session_protect(srtp_session_t *session, unsigned char *packet, int *size);
int srtp_session_unprotect(srtp_session_t *session, unsigned char *packet, int *size);

/* At most so many bytes are added to a packet. */
int srtp_session_trailer(void);

extern PyType_Spec sender_spec;

#endif
