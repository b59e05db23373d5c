/* Which payloads belong to key frames (RFC 6184, RFC 7741). Everything comes from the network and is checked. */
#include "native.h"

enum { IDR = 5, SPS = 7, STAP_A = 24, FU_A = 28 };

static int h264(const unsigned char *payload, size_t size)
{
    int kind = payload[0] & 0x1F, key = 0;
    size_t position = 1;

    if (kind == FU_A)
        return size >= 3 && (payload[1] & 0x1F) == IDR;
    if (kind >= 1 && kind < STAP_A)
        return size >= 2 && (kind == IDR || kind == SPS);
    if (kind != STAP_A)
        return 0;
    while (position < size) {
        size_t begin = position + 2, length;

        if (begin >= size)
            return 0; /* cut off, or an empty unit: nothing of it can be shown */
        length = (size_t)payload[position] << 8 | payload[position + 1];
        if (length == 0 || length > size - begin)
            return 0;
        kind = payload[begin] & 0x1F;
        key = key || kind == IDR || kind == SPS;
        position = begin + length;
    }
    return key;
}

static int vp8(const unsigned char *payload, size_t size)
{
    size_t position = 1;
    int first = payload[0];

    if (first & 0x80) {
        int extended = size > 1 ? payload[1] : 0;

        position++;
        if (extended & 0x80)
            position += size > position && (payload[position] & 0x80) ? 2 : 1;
        position += ((extended & 0x40) != 0) + ((extended & 0x30) != 0);
    }
    return position < size && (first & 0x10) && !(first & 0x07) && !(payload[position] & 0x01);
}

int payload_is_key(enum codec codec, const unsigned char *payload, size_t size)
{
    if (size == 0)
        return 0;
    if (codec == CODEC_H264)
        return h264(payload, size);
    return codec == CODEC_VP8 && vp8(payload, size);
}
