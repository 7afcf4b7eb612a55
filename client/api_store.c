/* The public calls about a data folder. */
#include "broker/embed.h"
#include "client/detail.h"
#include "proto/limits.h"
#include "tidings/tidings.h"

#include <string.h>

tidings_err tidings_store_verify(
    struct tidings_store_report *out, const char *dir,
    void (*progress)(void *arg, uint64_t done, uint64_t total), void *arg)
{
    char why[TD_STORE_WHY_BYTES] = "";
    struct td_embed_damage damage;
    tidings_err err;

    tidings_set_detail("");
    if (!out || !dir || !*dir)
        return td_fail(TIDINGS_EINVAL, "name a data folder");
    err = td_embed_verify(dir, progress, arg, &damage, why);
    if (err)
        return why[0] ? td_fail(err, "%s", why) : err;
    out->records = damage.records;
    out->damaged = damage.damaged;
    out->broken = damage.tree;
    memcpy(out->first, damage.first, sizeof(out->first));
    out->unlocked = damage.unlocked;
    return TIDINGS_OK;
}
