/* Names and texts of the error map. */
#include "tidings/err.h"

const char *tidings_err_text(tidings_err err)
{
    switch (err) {
#define TEXT(name, value, text)                                                \
    case TIDINGS_##name:                                                       \
        return text;
        TIDINGS_ERR_MAP(TEXT)
#undef TEXT
    }
    return "unknown error";
}

const char *tidings_err_name(tidings_err err)
{
    switch (err) {
#define NAME(name, value, text)                                                \
    case TIDINGS_##name:                                                       \
        return #name;
        TIDINGS_ERR_MAP(NAME)
#undef NAME
    }
    return "E?";
}
