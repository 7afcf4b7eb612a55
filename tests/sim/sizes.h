/* How much there is of everything. */
#ifndef TESTS_SIM_SIZES_H
#define TESTS_SIM_SIZES_H

#include <stdint.h>

#define SIM_NEVER         INT64_MAX
#define SIM_TYPES         20u
#define SIM_CLIENTS_MAX   6u
#define SIM_SUBS_MAX      14u /* of one client at a time */
#define SIM_EVILS         2u  /* clients that break the rules, at most */
#define SIM_LINKS_MAX     8192u
#define SIM_PRODUCERS_MAX 512u
#define SIM_GROUPS        3u         /* names in use */
#define SIM_POOL_BYTES    (2u << 20) /* where events take their data from */

#endif
