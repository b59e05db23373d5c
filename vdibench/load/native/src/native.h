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

/* srtp.c; without OpenSSL every call but srtp_session_free refuses. */
typedef struct srtp_session srtp_session_t;

/* A session for any source that sends (outbound) or is received; NULL with an exception set. */
srtp_session_t *srtp_session_new(const unsigned char *key, Py_ssize_t size, int profile, int outbound);
void srtp_session_free(srtp_session_t *session);

/* In place; `*size` is that of the packet, before and after. Whether it worked. */
int srtp_session_protect(srtp_session_t *session, unsigned char *packet, int *size);

/* Writes the payload in clear text, with padding where the header says so, to `clear`, which has room for the packet.
   How long the header is, which stays as it is; -1 where it does not decrypt or came before. */
int srtp_session_unprotect(srtp_session_t *session, const unsigned char *packet, size_t size, unsigned char *clear,
                           size_t *payload_size);

/* At most so many bytes are added to a packet. */
int srtp_session_trailer(void);

/* keys.c: a session that receives, as an object of Python; lanes of one peer share it. */
typedef struct {
    PyObject_HEAD
    srtp_session_t *session;
} keys_t;

/* payload.c */
enum codec { CODEC_OTHER, CODEC_H264, CODEC_VP8 };

/* Whether an RTP payload in clear text belongs to a key frame, by the rules of vdibench.client.payload. */
int payload_is_key(enum codec codec, const unsigned char *payload, size_t size);

/* lane.c: what one socket's datagrams are to be made of. */
#define HEAD_SIZE 256

typedef struct {
    unsigned char bytes[HEAD_SIZE];
    int size; /* 0 where the packet has no extension */
} head_t;

typedef struct {
    uint16_t sequence;
    unsigned packets;
    unsigned long long bytes;
    int first_bytes;
    double first_arrival, last_arrival;
    int begins, key;
    head_t first, last;
} sum_t;

typedef struct lane {
    PyObject_HEAD
    PyObject *take; /* what Python calls with the events */
    PyObject *keys; /* a keys_t, or NULL */
    int fd;         /* -1 when the socket was taken out */
    unsigned long drops;
    unsigned char touching[16]; /* payload types, a bit each, whose packets concern the stream that is added up */
    /* what may be added up */
    int armed, whole, open, has_avoided;
    uint16_t next, checked;
    uint32_t timestamp, avoided, ssrc;
    int payload_type, overhead;
    enum codec codec;
    sum_t sum;
} lane_t;

/* Take one datagram: adds it up, or appends what Python must see to the list `*events`, which is made when it is
   needed. 0, or -1 with an exception set. */
int lane_take(lane_t *lane, const unsigned char *data, size_t size, double arrival, const address_t *from,
              socklen_t from_size, unsigned long drops, PyObject **events);

int lane_append(PyObject **events, PyObject *event);

/* Names of the fields of a Run; must be called once before any lane is used. */
PyTypeObject *run_type(void);

/* receiver.c, floor.c */
extern PyType_Spec sender_spec, keys_spec, lane_spec, receiver_spec;
extern PyTypeObject *lane_type, *keys_type;
PyObject *floor_measure(PyObject *module, PyObject *arguments, PyObject *named);

#endif
