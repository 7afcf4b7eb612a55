/* What a scripted broker says to a PUBLISH that asks for confirms. */
#include "tests/conformance/broker.h"

#include "tests/conformance/conformance.h"

/* What a PUBLISH holds: our publishers number without holes. */
struct published {
    uint64_t level;
    uint64_t first;
    uint64_t count;
};

static struct published look_at(const msgpack_object *fields)
{
    struct published p = {.level = fields[1].via.u64 >> 1};
    const msgpack_object_array *batches = &fields[2].via.array;

    for (uint32_t i = 0; i < batches->size; i++) {
        const msgpack_object *batch = batches->ptr[i].via.array.ptr;
        const msgpack_object_array *runs = &batch[3].via.array;

        for (uint32_t k = 0; k < runs->size; k++) {
            const msgpack_object *run = runs->ptr[k].via.array.ptr;

            if (p.count == 0)
                p.first = run[3].via.u64;
            p.count += run[1].via.u64;
        }
    }
    return p;
}

static void send_taken(struct broker *b, void *peer)
{
    struct frame f;

    frame_begin(&f, 3, TAKEN);
    msgpack_pack_uint64(&f.pk, b->taken);
    msgpack_pack_uint64(&f.pk, (uint64_t)1 << 40);
    msgpack_pack_uint64(&f.pk, (uint64_t)1 << 50);
    broker_send(b, peer, &f, NULL, 0);
}

/* In two rows, if there are two events. */
static void send_confirm(struct broker *b, void *peer,
                         const struct published *p)
{
    bool stored = b->part != STORELESS;
    uint64_t rows = p->count > 1 ? 2 : 1;
    uint64_t first = p->first;
    struct frame f;

    frame_begin(&f, 1, CONFIRM);
    msgpack_pack_array(&f.pk, rows);
    for (uint64_t left = p->count; left > 0;) {
        uint64_t count = rows == 2 && left == p->count ? left / 2 : left;

        msgpack_pack_array(&f.pk, 7);
        msgpack_pack_uint64(&f.pk, first);
        msgpack_pack_uint64(&f.pk, count);
        msgpack_pack_int(&f.pk, stored ? TIDINGS_OK : TIDINGS_ENOSTREAM);
        put_text(&f, stored ? "events" : "");
        msgpack_pack_uint64(&f.pk, stored ? first : 0);
        msgpack_pack_uint64(&f.pk, stored ? p->level : 0);
        if (b->part == FORGETTING)
            msgpack_pack_true(&f.pk);
        else
            msgpack_pack_false(&f.pk);
        first += count;
        left -= count;
    }
    broker_send(b, peer, &f, NULL, 0);
}

void broker_on_publish(struct broker *b, void *peer,
                       const msgpack_object *fields)
{
    struct published p = look_at(fields);
    bool forgets = b->part == FORGETTING && atomic_load(&b->hellos) == 1;

    if (p.first + p.count - 1 > b->taken)
        b->taken = p.first + p.count - 1;
    send_taken(b, peer);
    if (forgets && b->taken >= FORGOTTEN)
        broker_send_bye(b, peer, TIDINGS_ESHUTDOWN);
    if (p.level > 0 && !forgets && b->part != PROCRASTINATING)
        send_confirm(b, peer, &p);
}
