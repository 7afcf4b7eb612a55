/* How long an instance may be silent: three times its health_ms. */
#ifndef TD_SERVICE_BEAT_H
#define TD_SERVICE_BEAT_H

#include "broker/engine/internal.h"

/* It is there, or has another state: when it is to be looked at next. */
void td_beat_begins(struct td_engine *e, const struct td_instance *instance);

/* Those that have been silent for too long are down; returns when others would
 * be. */
int64_t td_beat_tick(struct td_engine *e);

/* The broker was stopped itself, and heard nobody: what they have said is
 * perhaps still on its way, and all have their time anew. */
void td_beat_forgive(struct td_engine *e);

#endif
