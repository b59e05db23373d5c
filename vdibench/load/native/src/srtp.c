/* Sessions of SRTP over libsrtp2, with the parameters that aiortc uses. */
#include "native.h"

#ifdef VDIBENCH_SRTP
#include <srtp2/srtp.h>
#include <string.h>

struct srtp_session {
    srtp_t context;
};

/* As aiortc's: late packets are still taken, and what was asked for again may be sent again. */
#define WINDOW 1024

static int ready(void)
{
    static int initialised;

    if (!initialised && srtp_init() != srtp_err_status_ok) {
        PyErr_SetString(PyExc_OSError, "libsrtp2 could not be initialised");
        return 0;
    }
    initialised = 1;
    return 1;
}

srtp_session_t *srtp_session_new(const unsigned char *key, Py_ssize_t size, int profile, int outbound)
{
    srtp_policy_t policy;
    srtp_session_t *session;
    srtp_err_status_t status;
    srtp_profile_t known = (srtp_profile_t)profile;
    Py_ssize_t wanted;

    if (!ready())
        return NULL;
    memset(&policy, 0, sizeof policy);
    if (srtp_crypto_policy_set_from_profile_for_rtp(&policy.rtp, known) != srtp_err_status_ok
        || srtp_crypto_policy_set_from_profile_for_rtcp(&policy.rtcp, known) != srtp_err_status_ok) {
        PyErr_Format(PyExc_ValueError, "libsrtp2 here has no protection profile %d", profile);
        return NULL;
    }
    wanted = (Py_ssize_t)(srtp_profile_get_master_key_length(known) + srtp_profile_get_master_salt_length(known));
    if (size != wanted) {
        PyErr_Format(PyExc_ValueError, "a key of profile %d has %zd bytes with its salt, not %zd", profile, wanted,
                     size);
        return NULL;
    }
    policy.ssrc.type = outbound ? ssrc_any_outbound : ssrc_any_inbound;
    policy.key = (unsigned char *)(uintptr_t)key; /* libsrtp2 only reads it */
    policy.window_size = WINDOW;
    policy.allow_repeat_tx = 1;
    session = PyMem_Malloc(sizeof *session);
    if (session == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    status = srtp_create(&session->context, &policy);
    if (status != srtp_err_status_ok) {
        PyMem_Free(session);
        PyErr_Format(PyExc_ValueError, "libsrtp2 refuses profile %d (status %d)", profile, (int)status);
        return NULL;
    }
    return session;
}

void srtp_session_free(srtp_session_t *session)
{
    if (session != NULL) {
        srtp_dealloc(session->context);
        PyMem_Free(session);
    }
}

int srtp_session_protect(srtp_session_t *session, unsigned char *packet, int *size)
{
    return srtp_protect(session->context, packet, size) == srtp_err_status_ok;
}

int srtp_session_unprotect(srtp_session_t *session, unsigned char *packet, int *size)
{
    return srtp_unprotect(session->context, packet, size) == srtp_err_status_ok;
}

int srtp_session_trailer(void)
{
    return SRTP_MAX_TRAILER_LEN;
}

#else

struct srtp_session {
    int none;
};

srtp_session_t *srtp_session_new(const unsigned char *key, Py_ssize_t size, int profile, int outbound)
{
    (void)key, (void)size, (void)profile, (void)outbound;
    PyErr_SetString(PyExc_NotImplementedError,
                    "vdibench_native was built without SRTP: install libsrtp2-dev and build it again");
    return NULL;
}

void srtp_session_free(srtp_session_t *session)
{
    (void)session;
}

int srtp_session_protect(srtp_session_t *session, unsigned char *packet, int *size)
{
    (void)session, (void)packet, (void)size;
    return 0;
}

int srtp_session_unprotect(srtp_session_t *session, unsigned char *packet, int *size)
{
    (void)session, (void)packet, (void)size;
    return 0;
}

int srtp_session_trailer(void)
{
    return 0;
}

#endif
