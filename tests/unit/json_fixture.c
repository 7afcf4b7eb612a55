#include "tests/unit/json_fixture.h"

#include <stdlib.h>

char *repeated(const char *text, size_t count, const char *end)
{
    size_t bytes = strlen(text), end_bytes = strlen(end);
    char *out = malloc(count * (bytes + end_bytes) + 1);

    assert_non_null(out);
    for (size_t i = 0; i < count; i++) {
        memcpy(out + i * bytes, text, bytes);
        memcpy(out + count * bytes + i * end_bytes, end, end_bytes);
    }
    out[count * (bytes + end_bytes)] = '\0';
    return out;
}

char *nested_objects(size_t depth)
{
    char *heads = repeated("{\"a\":", depth - 1, "");
    char *ends = repeated("}", depth - 1, "");
    char *out = malloc(strlen(heads) + strlen(ends) + 3);

    assert_non_null(out);
    sprintf(out, "%s{}%s", heads, ends);
    free(heads);
    free(ends);
    return out;
}
