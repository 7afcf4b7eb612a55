/* Encoders and decoders of the shop's records. */
#include "messages.h"

#include "record/define.h"

SHOP_RECORDS(RECORD_DEFINE)
