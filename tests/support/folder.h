/* A folder of a test's own, for what a broker keeps. */
#ifndef TESTS_SUPPORT_FOLDER_H
#define TESTS_SUPPORT_FOLDER_H

#include <stdbool.h>

#define TD_FOLDER_PATH_MAX 128

struct td_folder {
    char path[TD_FOLDER_PATH_MAX]; /* "": there is none */
};

/** Make one below TMPDIR, or /tmp; false: it could not be made. */
bool td_folder_new(struct td_folder *f);

/** Remove it with the files in it; an empty struct is left alone. */
void td_folder_remove(struct td_folder *f);

#endif
