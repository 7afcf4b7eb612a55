#include "tests/support/folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool td_folder_new(struct td_folder *f)
{
    const char *parent = getenv("TMPDIR");

    snprintf(f->path, sizeof(f->path), "%.100s/tidings-XXXXXX",
             parent && *parent ? parent : "/tmp");
    if (mkdtemp(f->path))
        return true;
    f->path[0] = '\0';
    return false;
}

void td_folder_remove(struct td_folder *f)
{
    struct dirent *entry;
    DIR *dir;

    if (!f->path[0])
        return;
    dir = opendir(f->path);
    while (dir && (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlinkat(dirfd(dir), entry->d_name, 0);
    }
    if (dir)
        closedir(dir);
    rmdir(f->path);
    f->path[0] = '\0';
}
