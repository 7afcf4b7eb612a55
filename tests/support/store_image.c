#include "tests/support/store_image.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/support/td_test.h"

static const char *const files[TD_DISK_FILES] = {"data.mdb", "log"};

static uint32_t below(uint64_t *seed, uint32_t n)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33) % n;
}

static void image_grow(struct td_image *image, size_t end)
{
    if (end > image->size) {
        image->size = 2 * end;
        image->data = realloc(image->data, image->size);
        assert_non_null(image->data);
    }
    if (end > image->len) {
        memset(image->data + image->len, 0, end - image->len);
        image->len = end;
    }
}

static void image_write(struct td_image *image, const struct td_disk_event *e,
                        size_t from, size_t to)
{
    image_grow(image, (size_t)e->offset + e->len);
    memcpy(image->data + e->offset + from, e->data + from, to - from);
}

/* A sync has covered what was written to the file before event at. */
static void image_sync(struct td_image *image, enum td_disk_file file,
                       const struct td_disk_event *log, size_t at)
{
    for (; image->from < at; image->from++) {
        const struct td_disk_event *e = &log[image->from];

        if (e->kind == TD_DISK_WROTE && e->file == file)
            image_write(image, e, 0, e->len);
        else if (e->kind == TD_DISK_ALLOCATED && e->file == file)
            image_grow(image, e->number);
    }
}

/* Writes before event to that no sync covered: some of them, in any order,
 * some torn at a sector. */
static void image_tear(struct td_image *image, enum td_disk_file file,
                       const struct td_disk_event *log, size_t to,
                       uint64_t *seed)
{
    unsigned way = below(seed, 4);

    for (size_t i = image->from; i < to; i++) {
        const struct td_disk_event *e = &log[i];
        size_t sectors = e->len / 512;

        if (e->kind == TD_DISK_ALLOCATED && e->file == file && below(seed, 2))
            image_grow(image, e->number);
        if (e->kind != TD_DISK_WROTE || e->file != file || e->durable)
            continue;
        if (way == 0 || (way == 1 && i + 1 < to) || below(seed, 2))
            image_write(image, e, 0, e->len);
        else if (sectors > 1 && below(seed, 2))
            image_write(image, e, 512 * below(seed, (uint32_t)sectors), e->len);
    }
    for (size_t i = image->from; i < to; i++) {
        if (log[i].kind == TD_DISK_WROTE && log[i].file == file &&
            log[i].durable)
            image_write(image, &log[i], 0, log[i].len);
    }
}

static void path_of(char out[200], const char *dir, const char *name)
{
    snprintf(out, 200, "%.120s/%s", dir, name);
}

static void image_save(const struct td_image *image, const char *dir,
                       const char *name)
{
    size_t len = image->len; /* much of it was only allocated */
    char path[200];
    int fd;

    while (len > 0 && image->data[len - 1] == 0)
        len--;
    path_of(path, dir, name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(write(fd, image->data, len), len);
    assert_int_equal(ftruncate(fd, (off_t)image->len), 0);
    close(fd);
}

static void lose(const char *dir, const char *name)
{
    char path[200];

    path_of(path, dir, name);
    unlink(path);
}

void td_images_step(struct td_images *synced, const struct td_disk_event *log,
                    size_t at)
{
    enum td_disk_file file = log[at].file;

    if (log[at].kind == TD_DISK_SYNCED)
        image_sync(&synced->file[file], file, log, at);
}

void td_images_cut(const struct td_images *synced,
                   const struct td_disk_event *log, size_t at, uint64_t *seed,
                   const char *dir)
{
    lose(dir, "lock");
    lose(dir, "lock.mdb");
    for (int i = 0; i < TD_DISK_FILES; i++) {
        struct td_image image = synced->file[i];

        image.size = image.len + 1;
        image.data = malloc(image.size);
        assert_non_null(image.data);
        if (image.len > 0)
            memcpy(image.data, synced->file[i].data, image.len);
        image_tear(&image, (enum td_disk_file)i, log, at, seed);
        image_save(&image, dir, files[i]);
        free(image.data);
    }
}

void td_images_free(struct td_images *synced)
{
    for (int i = 0; i < TD_DISK_FILES; i++)
        free(synced->file[i].data);
}
