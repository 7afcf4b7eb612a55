/* Models of a database with an outbox and of a broker, for the relay's turns:
 * each operation may fail or be the last thing that a relay does, before it has
 * had its effect or after. */
#ifndef TESTS_UNIT_OUTBOX_MODEL_H
#define TESTS_UNIT_OUTBOX_MODEL_H

#include "client/outbox/turn.h"

#define MODEL_ROWS    400
#define MODEL_KEYS    5
#define MODEL_RELAYS  2
#define MODEL_STREAMS 3

struct model_row {
    int key;      /* 0: none; of its type alone then */
    int type;     /* its stream is type % MODEL_STREAMS; or it is poison */
    bool visible; /* its transaction has committed */
    bool poison;  /* the broker never takes it … */
    bool bad;     /* … or it cannot even be read … */
    bool large;   /* … or has more data than an event may */
    bool removed;
    bool refused;
    int stored; /* how often */
};

struct model_relay {
    struct model *model;
    struct td_turn *turn; /* NULL: none runs */
    uint64_t db_term;     /* 0: not open */
    uint64_t bus_term;
    bool crashed; /* it does nothing any more */
};

struct model {
    uint64_t random;
    unsigned faults; /* of 1,000 operations */
    bool locks;      /* the database lets one relay in */
    struct model_row row[MODEL_ROWS];
    int rows;
    struct tidings_outbox_claim claim;
    uint64_t db_term, bus_term;
    uint64_t last; /* the name's */
    int log[2 * MODEL_ROWS];
    int log_len;
    int full; /* a stream that is; -1: none is */
    int told_refused;
    struct model_relay relay[MODEL_RELAYS];
};

void model_init(struct model *m, uint64_t seed);
void model_fini(struct model *m);
uint64_t model_random(struct model *m, uint64_t below);

/* A transaction writes some rows; some are seen later than those after them. */
void model_write(struct model *m);
void model_write_row(struct model *m, int key, int type, bool poison);

/* A new relay, or one more turn of it; what it returned. */
int model_turn(struct model *m, int which, int64_t now_us);
/* As kill -9 would. */
void model_kill(struct model *m, int which);

/* Whether each row was stored once, in the order of its key; the text says what
 * is not so. NULL: it was. */
const char *model_wrong(const struct model *m);
bool model_all_done(const struct model *m);

#endif
