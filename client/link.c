#include "client/link.h"

#include <stdlib.h>
#include <string.h>

struct td_message *td_message_new(const void *control, size_t len,
                                  struct td_body *body)
{
    struct td_message *m = malloc(sizeof(*m) + len);

    if (!m)
        return NULL;
    m->next = NULL;
    atomic_init(&m->refs, 1);
    m->body = body;
    m->len = len;
    if (control && len)
        memcpy(m->control, control, len);
    return m;
}

struct td_message *td_message_ref(struct td_message *m)
{
    atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
    return m;
}

void td_message_unref(struct td_message *m)
{
    if (!m || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1)
        return;
    td_body_unref(m->body);
    free(m);
}

const struct td_backend *td_backend_of(const char *url)
{
    static const struct td_backend *const rows[] = {
        &td_backend_tcp, &td_backend_ipc, &td_backend_inproc};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strncmp(url, rows[i]->scheme, strlen(rows[i]->scheme)) == 0)
            return rows[i];
    }
    return NULL;
}
