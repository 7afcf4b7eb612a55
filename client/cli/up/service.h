/* service.h: one service of the file. */
#ifndef TD_UP_SERVICE_H
#define TD_UP_SERVICE_H

#include "client/cli/up/keys.h"
#include "client/cli/up/spec.h"

/* What its keys are read into. */
struct td_up_entry {
    struct td_up_service *service; /* with td_up_service_fini() */
    const yaml_node_t *needs;      /* names, looked up when all are known */
    const char *folder;            /* that the file is in */
};

bool td_up_service_read(struct td_reader *r, struct td_up_entry *entry,
                        const yaml_node_t *map);
void td_up_service_fini(struct td_up_service *service);

#endif
