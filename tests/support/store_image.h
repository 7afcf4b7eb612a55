/* What a power cut can leave of a store's files, made from the log of its
 * writes and syncs (store_disk.h): what a sync has covered is there; of what
 * came after it any part, in any order, torn at a sector. */
#ifndef TESTS_SUPPORT_STORE_IMAGE_H
#define TESTS_SUPPORT_STORE_IMAGE_H

#include "tests/support/store_disk.h"

/* A file as the disk has it, and what the next sync would add. */
struct td_image {
    uint8_t *data;
    size_t len;
    size_t size; /* allocated */
    size_t from; /* its writes from this event on no sync has covered */
};

/* The files of a folder; zeroed is empty. */
struct td_images {
    struct td_image file[TD_DISK_FILES];
};

/* A log is walked event by event; this one is the next. */
void td_images_step(struct td_images *synced, const struct td_disk_event *log,
                    size_t at);

/* Makes the files of a folder as a cut before event at could leave them, one of
 * the ways by chance. */
void td_images_cut(const struct td_images *synced,
                   const struct td_disk_event *log, size_t at, uint64_t *seed,
                   const char *dir);

void td_images_free(struct td_images *synced);

#endif
