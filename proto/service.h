/* What services are called: PROTOCOL.md 11.2. */
#ifndef TD_PROTO_SERVICE_H
#define TD_PROTO_SERVICE_H

#include <stdbool.h>
#include <stddef.h>

/* A service's or an endpoint's name: 1..64 of [A-Za-z0-9_-]. */
bool td_service_name_valid(const char *name, size_t len);

/* An instance's id: 1..32 of [A-Za-z0-9_.-]. */
bool td_instance_id_valid(const char *id, size_t len);

/* A semantic version (semver.org, 2.0.0) of at most 64 bytes. */
bool td_version_valid(const char *version, size_t len);

#endif
