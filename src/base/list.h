/* An intrusive doubly linked list. A zeroed node is in no list; the head is a node of its own. */
#ifndef BOURN_BASE_LIST_H
#define BOURN_BASE_LIST_H

#include "base/check.h"

#include <stdbool.h>

struct list {
	struct list *next; /* NULL: in no list */
	struct list *prev;
};

#define LIST_ENTRY(node, type, member) CONTAINER_OF(node, type, member)

#define LIST_EACH(node, head)                                                                      \
	for (struct list *node = (head)->next; node != (head); node = node->next)

/* The body may remove `node`. */
#define LIST_EACH_SAFE(node, after, head)                                                          \
	for (struct list *node = (head)->next, *after = node->next; node != (head);                \
	     node = after, after = node->next)

static inline void list_init(struct list *head)
{
	head->next = head;
	head->prev = head;
}

static inline bool list_is_empty(const struct list *head)
{
	return head->next == head;
}

static inline bool list_is_linked(const struct list *node)
{
	return node->next != NULL;
}

static inline void list_append(struct list *head, struct list *node)
{
	CHECK(!list_is_linked(node));
	node->prev = head->prev;
	node->next = head;
	head->prev->next = node;
	head->prev = node;
}

static inline void list_prepend(struct list *head, struct list *node)
{
	list_append(head->next, node); /* before what is the first now */
}

static inline void list_remove(struct list *node)
{
	CHECK(list_is_linked(node));
	node->prev->next = node->next;
	node->next->prev = node->prev;
	node->next = NULL;
	node->prev = NULL;
}

/* The first node, taken out; NULL when empty. */
static inline struct list *list_take_first(struct list *head)
{
	struct list *node = head->next;

	if (node == head)
		return NULL;
	list_remove(node);
	return node;
}

/* Move all of `from` behind what is in `to`; `from` is empty afterwards. */
static inline void list_move_all(struct list *to, struct list *from)
{
	if (list_is_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

#endif
