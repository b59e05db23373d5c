/* SRTP of one peer's RTP (RFC 3711, RFC 7714) over OpenSSL's ciphers, with the parameters that aiortc uses: no MKI, no
   encrypted extensions, keys that are derived once. Debian's libsrtp2 stands on NSS, and took twice as
   long: docs/design/native.md. */
#include "native.h"

#ifdef VDIBENCH_SRTP
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <string.h>

/* As aiortc's: packets that are so late are still taken. */
#define WINDOW 1024
/* A peer has a handful at a time; what one that begins anew again and again may cost is bounded. */
#define MOST_SOURCES 256
#define SALT_SIZE 14
#define GCM_NONCE_SIZE 12
#define GCM_TAG_SIZE 16
#define HMAC_KEY_SIZE 20
#define HMAC_SIZE 20
#define HALF 0x8000

/* By the labels of RFC 3711, 4.3.1. */
enum use { USE_CIPHER = 0, USE_HMAC = 1, USE_SALT = 2 };

typedef struct {
    uint32_t ssrc;
    uint64_t newest; /* roll-over counter and sequence number of the latest packet */
    uint64_t turn;   /* when it was used last */
    uint64_t seen[WINDOW / 64];
} source_t;

struct srtp_session {
    EVP_CIPHER_CTX *cipher;
    EVP_MAC_CTX *mac; /* NULL where the cipher authenticates */
    unsigned char salt[SALT_SIZE];
    int tag_size, outbound;
    source_t *sources;
    int count;
    uint64_t turn;
};

typedef struct {
    size_t header, payload;
    uint16_t sequence;
    uint32_t ssrc;
} parts_t;

/* Profiles by libsrtp's numbers, which is what aiortc has. */
static const struct profile {
    int number, key_size, salt_size, tag_size, authenticates;
} profiles[] = {{1, 16, 14, 10, 0}, {2, 16, 14, 4, 0}, {7, 16, 12, GCM_TAG_SIZE, 1}, {8, 32, 12, GCM_TAG_SIZE, 1}};

static const EVP_CIPHER *cipher_of(const struct profile *profile)
{
    if (profile->authenticates)
        return profile->key_size == 32 ? EVP_aes_256_gcm() : EVP_aes_128_gcm();
    return EVP_aes_128_ctr();
}

/* Keys of a session from those of the handshake: the key stream of AES in counter mode. */
static int derive(const struct profile *profile, const unsigned char *key, enum use use, unsigned char *made, int size)
{
    unsigned char counter[16] = {0};
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    int written, good;

    memcpy(counter, key + profile->key_size, (size_t)profile->salt_size);
    counter[7] ^= (unsigned char)use;
    memset(made, 0, (size_t)size);
    good = context != NULL
           && EVP_EncryptInit_ex(context, profile->key_size == 32 ? EVP_aes_256_ctr() : EVP_aes_128_ctr(), NULL, key,
                                 counter)
           && EVP_EncryptUpdate(context, made, &written, made, size);
    EVP_CIPHER_CTX_free(context);
    return good;
}

static EVP_MAC_CTX *hmac_of(const unsigned char *key, size_t size)
{
    static char digest[] = "SHA1";
    OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                               OSSL_PARAM_construct_end()};
    EVP_MAC *kind = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *context = kind != NULL ? EVP_MAC_CTX_new(kind) : NULL;

    EVP_MAC_free(kind);
    if (context != NULL && !EVP_MAC_init(context, key, size, parameters)) {
        EVP_MAC_CTX_free(context);
        context = NULL;
    }
    return context;
}

static int set_up(srtp_session_t *session, const struct profile *profile, const unsigned char *key)
{
    unsigned char cipher_key[32], hmac_key[HMAC_KEY_SIZE];
    int good = derive(profile, key, USE_CIPHER, cipher_key, profile->key_size)
               && derive(profile, key, USE_SALT, session->salt, profile->salt_size);

    session->tag_size = profile->tag_size;
    session->cipher = good ? EVP_CIPHER_CTX_new() : NULL;
    good = session->cipher != NULL
           && EVP_CipherInit_ex(session->cipher, cipher_of(profile), NULL, cipher_key, NULL, session->outbound);
    if (good && !profile->authenticates) {
        good = derive(profile, key, USE_HMAC, hmac_key, HMAC_KEY_SIZE);
        session->mac = good ? hmac_of(hmac_key, HMAC_KEY_SIZE) : NULL;
        good = session->mac != NULL;
        OPENSSL_cleanse(hmac_key, sizeof hmac_key);
    }
    OPENSSL_cleanse(cipher_key, sizeof cipher_key);
    return good;
}

srtp_session_t *srtp_session_new(const unsigned char *key, Py_ssize_t size, int number, int outbound)
{
    const struct profile *profile = NULL;
    srtp_session_t *session;
    int good;

    for (size_t i = 0; i < sizeof profiles / sizeof *profiles; i++)
        profile = profiles[i].number == number ? &profiles[i] : profile;
    if (profile == NULL) {
        PyErr_Format(PyExc_ValueError, "protection profile %d is not known here: 1, 2, 7 and 8 are", number);
        return NULL;
    }
    if (size != profile->key_size + profile->salt_size) {
        PyErr_Format(PyExc_ValueError, "a key of profile %d has %d bytes with its salt, not %zd", number,
                     profile->key_size + profile->salt_size, size);
        return NULL;
    }
    session = PyMem_Calloc(1, sizeof *session);
    if (session == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    session->outbound = outbound != 0;
    /* What OpenSSL says of a failure stands in a queue of the thread, where Python's ssl would take it for its own. */
    ERR_set_mark();
    good = set_up(session, profile, key);
    ERR_pop_to_mark();
    if (!good) {
        srtp_session_free(session);
        PyErr_Format(PyExc_ValueError, "OpenSSL refuses what protection profile %d wants", number);
        return NULL;
    }
    return session;
}

void srtp_session_free(srtp_session_t *session)
{
    if (session == NULL)
        return;
    EVP_CIPHER_CTX_free(session->cipher);
    EVP_MAC_CTX_free(session->mac);
    OPENSSL_cleanse(session->salt, sizeof session->salt);
    PyMem_Free(session->sources);
    PyMem_Free(session);
}

/* Where header and payload of a packet lie; 0 where it cannot be one. */
static int parse(const unsigned char *packet, size_t size, size_t tag_size, parts_t *parts)
{
    size_t header = RTP_HEADER_SIZE;

    if (size < header + tag_size || packet[0] >> 6 != 2)
        return 0;
    header += 4 * (size_t)(packet[0] & 0x0F);
    if (packet[0] & 0x10) {
        if (size < header + 4 + tag_size)
            return 0;
        header += 4 + 4 * ((size_t)packet[header + 2] << 8 | packet[header + 3]);
    }
    if (size < header + tag_size)
        return 0;
    parts->header = header;
    parts->payload = size - header - tag_size;
    parts->sequence = (uint16_t)(packet[2] << 8 | packet[3]);
    parts->ssrc = (uint32_t)packet[8] << 24 | (uint32_t)packet[9] << 16 | (uint32_t)packet[10] << 8 | packet[11];
    return 1;
}

static source_t *source_of(const srtp_session_t *session, uint32_t ssrc)
{
    for (int i = 0; i < session->count; i++)
        if (session->sources[i].ssrc == ssrc)
            return &session->sources[i];
    return NULL;
}

/* Room for one source more, or that of the one that was silent for longest. */
static source_t *new_source(srtp_session_t *session, uint32_t ssrc)
{
    source_t *made = session->sources;

    if (session->count == MOST_SOURCES) {
        for (int i = 1; i < session->count; i++)
            made = session->sources[i].turn < made->turn ? &session->sources[i] : made;
    } else {
        made = PyMem_Realloc(session->sources, ((size_t)session->count + 1) * sizeof *made);
        if (made == NULL)
            return NULL;
        session->sources = made;
        made += session->count++;
    }
    memset(made, 0, sizeof *made);
    made->ssrc = ssrc;
    return made;
}

/* The index of a packet: the one nearest to the latest (RFC 3711, 3.3.1). Nothing comes before the first round. */
static uint64_t estimate(const source_t *source, uint16_t sequence)
{
    uint16_t ahead;

    if (source == NULL)
        return sequence;
    ahead = (uint16_t)(sequence - (uint16_t)source->newest);
    if (ahead < HALF || (ahead == HALF && !(source->newest & HALF)))
        return source->newest + ahead;
    return source->newest >= (uint64_t)0x10000 - ahead ? source->newest - (0x10000 - ahead) : sequence;
}

static int was_seen(const source_t *source, uint64_t index)
{
    if (source == NULL || index > source->newest)
        return 0;
    return source->newest - index >= WINDOW || (source->seen[index % WINDOW / 64] >> index % 64 & 1);
}

static void mark(srtp_session_t *session, source_t *source, uint64_t index)
{
    source->turn = ++session->turn;
    if (index > source->newest) {
        uint64_t gap = index - source->newest;

        if (gap >= WINDOW)
            memset(source->seen, 0, sizeof source->seen);
        else
            for (uint64_t one = source->newest + 1; one <= index; one++)
                source->seen[one % WINDOW / 64] &= ~((uint64_t)1 << one % 64);
        source->newest = index;
    }
    source->seen[index % WINDOW / 64] |= (uint64_t)1 << index % 64;
}

/* XORs a number into the bytes that end before `end`, most significant first. */
static void blend(unsigned char *end, uint64_t number, int size)
{
    for (int i = 1; i <= size; i++, number >>= 8)
        *(end - i) ^= (unsigned char)number;
}

/* The cipher is made ready for one packet; its key stays. */
static int begin(srtp_session_t *session, uint32_t ssrc, uint64_t index)
{
    unsigned char nonce[16] = {0};

    memcpy(nonce, session->salt, SALT_SIZE);
    if (session->mac != NULL) {
        blend(nonce + 8, ssrc, 4);
        blend(nonce + 14, index, 6);
    } else {
        blend(nonce + 6, ssrc, 4);
        blend(nonce + GCM_NONCE_SIZE, index, 6);
    }
    return EVP_CipherInit_ex(session->cipher, NULL, NULL, NULL, nonce, -1);
}

/* HMAC of packet and roll-over counter. */
static int sign(srtp_session_t *session, const unsigned char *packet, size_t size, uint64_t index, unsigned char *made)
{
    unsigned char counter[4] = {0};
    size_t written;

    blend(counter + 4, index >> 16, 4);
    return EVP_MAC_init(session->mac, NULL, 0, NULL) && EVP_MAC_update(session->mac, packet, size)
           && EVP_MAC_update(session->mac, counter, sizeof counter)
           && EVP_MAC_final(session->mac, made, &written, HMAC_SIZE);
}

int srtp_session_unprotect(srtp_session_t *session, const unsigned char *packet, size_t size, unsigned char *clear,
                           size_t *payload_size)
{
    unsigned char tag[HMAC_SIZE];
    int good, written, rest;
    parts_t parts;
    source_t *source;
    uint64_t index;
    size_t body;

    if (!parse(packet, size, (size_t)session->tag_size, &parts))
        return -1;
    body = parts.header + parts.payload;
    source = source_of(session, parts.ssrc);
    index = estimate(source, parts.sequence);
    if (was_seen(source, index))
        return -1;
    if (session->mac != NULL) {
        good = sign(session, packet, body, index, tag)
               && CRYPTO_memcmp(tag, packet + body, (size_t)session->tag_size) == 0
               && begin(session, parts.ssrc, index)
               && EVP_DecryptUpdate(session->cipher, clear, &written, packet + parts.header, (int)parts.payload);
    } else {
        memcpy(tag, packet + body, GCM_TAG_SIZE); /* it wants one that it could write to */
        good = begin(session, parts.ssrc, index)
               && EVP_DecryptUpdate(session->cipher, NULL, &written, packet, (int)parts.header)
               && EVP_DecryptUpdate(session->cipher, clear, &written, packet + parts.header, (int)parts.payload)
               && EVP_CIPHER_CTX_ctrl(session->cipher, EVP_CTRL_AEAD_SET_TAG, GCM_TAG_SIZE, tag) > 0
               && EVP_DecryptFinal_ex(session->cipher, clear + parts.payload, &rest) > 0;
    }
    if (!good || (source == NULL && (source = new_source(session, parts.ssrc)) == NULL))
        return -1;
    mark(session, source, index);
    *payload_size = parts.payload;
    return (int)parts.header;
}

int srtp_session_protect(srtp_session_t *session, unsigned char *packet, int *size)
{
    unsigned char tag[HMAC_SIZE], *payload;
    int good, written, rest;
    parts_t parts;
    source_t *source;
    uint64_t index;

    if (!parse(packet, (size_t)*size, 0, &parts))
        return 0;
    source = source_of(session, parts.ssrc);
    index = estimate(source, parts.sequence);
    if (source != NULL && index < source->newest && source->newest - index >= WINDOW)
        return 0; /* nobody would take it */
    payload = packet + parts.header;
    good = begin(session, parts.ssrc, index);
    if (session->mac == NULL)
        good = good && EVP_EncryptUpdate(session->cipher, NULL, &written, packet, (int)parts.header);
    good = good && EVP_EncryptUpdate(session->cipher, payload, &written, payload, (int)parts.payload);
    if (session->mac == NULL)
        good = good && EVP_EncryptFinal_ex(session->cipher, payload + parts.payload, &rest)
               && EVP_CIPHER_CTX_ctrl(session->cipher, EVP_CTRL_AEAD_GET_TAG, GCM_TAG_SIZE, tag) > 0;
    else
        good = good && sign(session, packet, (size_t)*size, index, tag);
    if (!good || (source == NULL && (source = new_source(session, parts.ssrc)) == NULL))
        return 0;
    mark(session, source, index);
    memcpy(packet + *size, tag, (size_t)session->tag_size);
    *size += session->tag_size;
    return 1;
}

int srtp_session_trailer(void)
{
    return HMAC_SIZE;
}

#else

struct srtp_session {
    int none;
};

srtp_session_t *srtp_session_new(const unsigned char *key, Py_ssize_t size, int profile, int outbound)
{
    (void)key, (void)size, (void)profile, (void)outbound;
    PyErr_SetString(PyExc_NotImplementedError,
                    "vdibench_native was built without SRTP: install libssl-dev and build it again");
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

int srtp_session_unprotect(srtp_session_t *session, const unsigned char *packet, size_t size, unsigned char *clear,
                           size_t *payload_size)
{
    (void)session, (void)packet, (void)size, (void)clear, (void)payload_size;
    return -1;
}

int srtp_session_trailer(void)
{
    return 0;
}

#endif
