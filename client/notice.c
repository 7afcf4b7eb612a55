#include "client/notice.h"

#include <stddef.h>

static void append(struct td_notice_list *list, struct td_notice *n)
{
    n->next = NULL;
    *list->tail = n;
    list->tail = &n->next;
}

static struct td_notice *take(struct td_notice_list *list)
{
    struct td_notice *n = list->head;

    list->head = n->next;
    if (!list->head)
        list->tail = &list->head;
    return n;
}

void td_notices_init(struct td_notices *list)
{
    *list = (struct td_notices){0};
    list->events.tail = &list->events.head;
    list->news.tail = &list->news.head;
}

bool td_notices_any(const struct td_notices *list)
{
    return list->events.head || list->news.head;
}

struct td_notice *td_notices_latest(const struct td_notices *list)
{
    struct td_notice *last;

    if (!list->news.head)
        return NULL;
    last = (struct td_notice *)((char *)list->news.tail -
                                offsetof(struct td_notice, next));
    return last->order == list->order ? last : NULL;
}

struct td_notice *td_notices_push(struct td_notices *list,
                                  struct td_notice *notice)
{
    notice->order = ++list->order;
    if (notice->what == TD_NOTICE_EVENTS) {
        append(&list->events, notice);
        return NULL;
    }
    append(&list->news, notice);
    if (++list->news_len <= TD_NOTICES_MAX)
        return NULL;
    list->news_len--;
    list->lost++;
    return take(&list->news);
}

struct td_notice *td_notices_pop(struct td_notices *list)
{
    const struct td_notice *e = list->events.head;
    const struct td_notice *n = list->news.head;

    if (!e && !n)
        return NULL;
    if (!n || (e && e->order < n->order))
        return take(&list->events);
    list->news_len--;
    return take(&list->news);
}
