/* file.h: the file of `tidings up`, read and checked whole.
 *
 *     bus: tcp://127.0.0.1:7450
 *     services:
 *       - name: broker
 *         command: tidingsd --listen tcp://127.0.0.1:7450
 *         ready: bus
 *       - name: inventory
 *         command: [./inventory, --db, stock.db]
 *         needs: [broker]
 *         ready: service
 *         instances: 2
 *
 * README.md, "Running services", names all of its keys. */
#ifndef TD_UP_FILE_H
#define TD_UP_FILE_H

#include <stdbool.h>

#include "client/cli/up/spec.h"
#include "proto/yaml.h"

struct td_up_file {
    struct td_yaml yaml; /* spec borrows from it */
    char *folder;        /* that the file is in, absolute */
    struct td_up_spec spec;
};

/** false: *why, at least TD_YAML_WHY_BYTES, is one line: where, what is wrong
 *  and what to do. td_up_file_fini() is called in any case. */
bool td_up_file_read(struct td_up_file *f, const char *path, char *why);
void td_up_file_fini(struct td_up_file *f);

#endif
