/* See bench.h: the receiving end of members that share the events. Each has
 * its own counter and its own row of bits, one for each event, so members do
 * not slow each other down; in the end the rows are laid over one another. */
#define _GNU_SOURCE /* MAP_ANONYMOUS, MAP_POPULATE */
#include "tests/bench/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/bench/stamp.h"

#define LOOK_NS  1000000 /* how often the waiting thread adds up */
#define ROW_UNIT 4096u   /* rows of two members share no page */

struct bench_member {
    _Atomic uint64_t received;
    uint64_t next; /* no lower number comes, if ordered */
    uint64_t wrong;
    int64_t first_ns;
    char apart[96]; /* no cache line in common */
};

static size_t size(const struct bench_tally *tally)
{
    return tally->members * (sizeof(struct bench_member) + tally->row_bytes);
}

void bench_tally_init(struct bench_tally *tally, const struct bench_args *args,
                      uint64_t members, bool ordered)
{
    int flags = MAP_POPULATE | (args->share ? MAP_SHARED : MAP_PRIVATE);
    int fd = -1;
    void *memory;

    memset(tally, 0, sizeof(*tally));
    tally->expected = args->events;
    tally->bytes = args->bytes;
    tally->members = members;
    tally->ordered = ordered;
    tally->row_bytes =
        (args->events / 8 + ROW_UNIT) / ROW_UNIT * (size_t)ROW_UNIT;
    if (args->share) {
        fd = open(args->share, O_RDWR);
        if (fd < 0 || ftruncate(fd, (off_t)size(tally)))
            bench_die("%s: %s", args->share, strerror(errno));
    } else {
        flags |= MAP_ANONYMOUS;
    }
    memory = mmap(NULL, size(tally), PROT_READ | PROT_WRITE, flags, fd, 0);
    if (memory == MAP_FAILED)
        bench_die("tally: %s", strerror(errno));
    if (fd >= 0)
        close(fd);
    tally->member = memory;
    tally->seen = (unsigned char *)(tally->member + members);
}

void bench_tally_fini(struct bench_tally *tally)
{
    munmap(tally->member, size(tally));
}

void bench_tally_take(struct bench_tally *tally, uint64_t member,
                      const void *data, size_t len)
{
    struct bench_member *m = &tally->member[member];
    unsigned char *seen = tally->seen + member * tally->row_bytes;
    uint64_t n = atomic_load_explicit(&m->received, memory_order_relaxed);
    struct stamp stamp;
    unsigned bit;

    if (!stamp_read(&stamp, data, len, tally->bytes) ||
        stamp.number >= tally->expected ||
        (tally->ordered && stamp.number < m->next)) {
        m->wrong++;
        return;
    }
    m->next = stamp.number + 1;
    bit = 1u << stamp.number % 8;
    if (seen[stamp.number / 8] & bit) { /* doubled */
        m->wrong++;
        return;
    }
    seen[stamp.number / 8] |= (unsigned char)bit;
    if (n == 0)
        m->first_ns = bench_now_ns();
    atomic_store_explicit(&m->received, n + 1, memory_order_release);
}

static uint64_t received_in_all(const struct bench_tally *tally)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < tally->members; i++)
        sum += atomic_load_explicit(&tally->member[i].received,
                                    memory_order_acquire);
    return sum;
}

void bench_tally_wait(struct bench_tally *tally)
{
    int64_t now_ns = bench_now_ns();
    int64_t moved_ns = now_ns;
    uint64_t before = 0;
    uint64_t sum;

    while ((sum = received_in_all(tally)) < tally->expected) {
        if (sum > before)
            moved_ns = now_ns;
        if (now_ns - moved_ns > BENCH_WAIT_MS * INT64_C(1000000))
            break;
        before = sum;
        bench_sleep_until_ns(now_ns + LOOK_NS);
        now_ns = bench_now_ns();
    }
    tally->last_ns = bench_now_ns();
}

static unsigned bits(unsigned byte)
{
    unsigned n = 0;

    for (; byte; byte &= byte - 1)
        n++;
    return n;
}

/* Events that no member has, and those that more than one has. */
static void lay_over(const struct bench_tally *tally, uint64_t *lost,
                     uint64_t *doubled)
{
    *lost = tally->expected;
    *doubled = 0;
    for (size_t at = 0; at < tally->row_bytes; at++) {
        unsigned any = 0;
        unsigned again = 0;

        for (uint64_t i = 0; i < tally->members; i++) {
            unsigned row = tally->seen[i * tally->row_bytes + at];

            again |= any & row;
            any |= row;
        }
        *lost -= bits(any);
        *doubled += bits(again);
    }
}

int bench_tally_report(struct bench_tally *tally, uint64_t member,
                       uint64_t count)
{
    uint64_t received = 0;
    uint64_t wrong = 0;
    uint64_t lost, doubled;
    int64_t first_ns = INT64_MAX;

    lay_over(tally, &lost, &doubled);
    for (uint64_t i = member; i < member + count; i++) {
        const struct bench_member *m = &tally->member[i];

        received += atomic_load(&m->received);
        wrong += m->wrong;
        if (m->first_ns && m->first_ns < first_ns)
            first_ns = m->first_ns;
    }
    printf("result events=%" PRIu64 " missing=%" PRIu64 " wrong=%" PRIu64
           " first_ns=%" PRId64 " last_ns=%" PRId64 "\n",
           received, lost, wrong + doubled, first_ns, tally->last_ns);
    fflush(stdout);
    return lost || doubled || wrong ? 1 : 0;
}
