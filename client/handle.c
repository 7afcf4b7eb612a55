#include "client/handle.h"

#include "client/detail.h"
#include "proto/limits.h"

#include <assert.h>
#include <stdatomic.h>

/* A bus handle is generation << 10 | slot, a subscription's 1 << 63 | number
 * << 32 | low bits of the generation << 10 | slot. Neither is ever NULL. */
#define SLOT_BITS           10
#define SUB_GENERATION_BITS 22
#define SLOT_MASK           ((1u << SLOT_BITS) - 1)
#define SUB_GENERATION_MASK ((1u << SUB_GENERATION_BITS) - 1)

static_assert(sizeof(void *) == 8, "handles need 64 bits");
static_assert(TD_BUSES_MAX == 1u << SLOT_BITS, "one slot for each bus");

struct slot {
    struct td_locks locks;
    atomic_uint_fast64_t generation; /* of its handle; read without the lock */
    atomic_uint fork;                /* fork_count when it was opened */
    struct td_bus *bus;              /* NULL: free */
};

static struct slot slots[TD_BUSES_MAX];
static pthread_mutex_t slots_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t slots_once = PTHREAD_ONCE_INIT;
static uint64_t next_generation = 1;
static unsigned next_slot;
static atomic_uint fork_count; /* of the forks between us and our ancestor */

static void init_locks(struct td_locks *locks)
{
    pthread_mutex_init(&locks->bus, NULL);
    pthread_mutex_init(&locks->packer, NULL);
}

/* In the child a lock may be held by a thread that is not there any more:
 * slots of the parent are recognised before they are locked. */
static void in_child(void)
{
    atomic_fetch_add(&fork_count, 1);
    pthread_mutex_init(&slots_lock, NULL);
}

static void init_slots(void)
{
    for (unsigned i = 0; i < TD_BUSES_MAX; i++)
        init_locks(&slots[i].locks);
    pthread_atfork(NULL, NULL, in_child);
}

static tidings_bus *handle_of(uint64_t generation, unsigned slot)
{
    return (tidings_bus *)(uintptr_t)(generation << SLOT_BITS | slot);
}

/* Slots that the parent left behind are taken over with a new lock. */
static bool is_free(struct slot *s)
{
    if (!s->bus)
        return true;
    if (atomic_load(&s->fork) == atomic_load(&fork_count))
        return false;
    init_locks(&s->locks);
    s->bus = NULL; /* leaked on purpose: its threads are the parent's */
    return true;
}

/* Under both locks: either is enough to read it. */
static void set_bus(struct slot *s, struct td_bus *bus)
{
    pthread_mutex_lock(&s->locks.bus);
    pthread_mutex_lock(&s->locks.packer);
    s->bus = bus;
    pthread_mutex_unlock(&s->locks.packer);
    pthread_mutex_unlock(&s->locks.bus);
}

tidings_err td_handle_new(tidings_bus **out, struct td_bus *bus,
                          struct td_locks **locks)
{
    tidings_err err = TIDINGS_ELIMIT;

    pthread_once(&slots_once, init_slots);
    pthread_mutex_lock(&slots_lock);
    for (unsigned i = 0; err && i < TD_BUSES_MAX; i++) {
        unsigned n = next_slot++ % TD_BUSES_MAX;
        struct slot *s = &slots[n];

        if (!is_free(s))
            continue;
        set_bus(s, bus);
        atomic_store(&s->fork, atomic_load(&fork_count));
        atomic_store(&s->generation, next_generation);
        *out = handle_of(next_generation++, n);
        *locks = &s->locks;
        err = TIDINGS_OK;
    }
    pthread_mutex_unlock(&slots_lock);
    return err ? td_fail(err, "%u buses are open in this process", TD_BUSES_MAX)
               : TIDINGS_OK;
}

static tidings_err check_slot(struct slot *s, uint64_t generation,
                              uint64_t mask)
{
    if ((atomic_load_explicit(&s->generation, memory_order_acquire) & mask) !=
        generation)
        return td_fail(TIDINGS_ECLOSED, "the handle was closed");
    if (atomic_load_explicit(&s->fork, memory_order_relaxed) !=
        atomic_load_explicit(&fork_count, memory_order_relaxed))
        return td_fail(TIDINGS_EFORKED,
                       "opened before fork(): the child opens its own bus");
    return TIDINGS_OK;
}

/* With the lock: it may have been closed while we waited for that. */
static struct td_bus *locked_bus(struct slot *s, pthread_mutex_t *lock,
                                 uint64_t generation, uint64_t mask,
                                 tidings_err *err)
{
    *err = s->bus ? check_slot(s, generation, mask)
                  : td_fail(TIDINGS_ECLOSED, "the handle was closed");
    if (!*err)
        return s->bus;
    pthread_mutex_unlock(lock);
    return NULL;
}

static struct td_bus *lock_slot(struct slot *s, pthread_mutex_t *lock,
                                uint64_t generation, uint64_t mask,
                                tidings_err *err)
{
    *err = check_slot(s, generation, mask);
    if (*err)
        return NULL;
    pthread_mutex_lock(lock);
    return locked_bus(s, lock, generation, mask, err);
}

static struct slot *slot_of(tidings_bus *handle, tidings_err *err)
{
    uint64_t bits = (uintptr_t)handle;

    if (bits >> SLOT_BITS != 0 && !(bits >> 63))
        return &slots[bits & SLOT_MASK];
    *err = td_fail(TIDINGS_EINVAL, "not a bus");
    return NULL;
}

struct td_bus *td_handle_lock(tidings_bus *handle, tidings_err *err)
{
    struct slot *s = slot_of(handle, err);

    return s ? lock_slot(s, &s->locks.bus, (uintptr_t)handle >> SLOT_BITS,
                         UINT64_MAX, err)
             : NULL;
}

tidings_err td_handle_check(tidings_bus *handle)
{
    tidings_err err;
    struct slot *s = slot_of(handle, &err);

    return s ? check_slot(s, (uintptr_t)handle >> SLOT_BITS, UINT64_MAX) : err;
}

struct td_bus *td_handle_try_lock(tidings_bus *handle, tidings_err *err)
{
    uint64_t generation = (uintptr_t)handle >> SLOT_BITS;
    struct slot *s = slot_of(handle, err);

    if (!s)
        return NULL;
    *err = check_slot(s, generation, UINT64_MAX);
    if (*err)
        return NULL;
    if (pthread_mutex_trylock(&s->locks.bus) != 0) {
        *err = TIDINGS_EFULL;
        return NULL;
    }
    return locked_bus(s, &s->locks.bus, generation, UINT64_MAX, err);
}

struct td_bus *td_handle_lock_packer(tidings_bus *handle, tidings_err *err)
{
    struct slot *s = slot_of(handle, err);

    return s ? lock_slot(s, &s->locks.packer, (uintptr_t)handle >> SLOT_BITS,
                         UINT64_MAX, err)
             : NULL;
}

void td_handle_free(tidings_bus *handle)
{
    struct slot *s = &slots[(uintptr_t)handle & SLOT_MASK];

    atomic_store(&s->generation, 0);
    pthread_mutex_unlock(&s->locks.bus);
    pthread_mutex_lock(&slots_lock); /* in the order of td_handle_new() */
    set_bus(s, NULL);
    pthread_mutex_unlock(&slots_lock);
}

tidings_sub *td_handle_sub(tidings_bus *bus, uint32_t number)
{
    uint64_t bits = (uintptr_t)bus;
    uint64_t low = bits & (UINT32_MAX);

    return (tidings_sub *)(uintptr_t)((uint64_t)1 << 63 |
                                      (uint64_t)number << 32 | low);
}

struct td_bus *td_handle_lock_sub(tidings_sub *handle, uint32_t *number,
                                  tidings_err *err)
{
    uint64_t bits = (uintptr_t)handle;
    struct slot *s = &slots[bits & SLOT_MASK];

    if (!(bits >> 63)) {
        *err = td_fail(TIDINGS_EINVAL, "not a subscription");
        return NULL;
    }
    *number = (uint32_t)(bits >> 32) & INT32_MAX;
    return lock_slot(s, &s->locks.bus, bits >> SLOT_BITS & SUB_GENERATION_MASK,
                     SUB_GENERATION_MASK, err);
}
