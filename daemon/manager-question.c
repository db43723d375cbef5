/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Answers of reading methods that need a look at the host first.  Nothing is stored for them; when the daemon
 * ends, whoever waits is told so.  Used by gpu.plan, gpu.assert and
 * gpu.export. */
#include "manager-state.h"

struct question *question_new(struct manager *m, struct reply *reply, json_t *answer)
{
	struct question *q = calloc(1, sizeof(*q));

	if (!q) {
		json_decref(answer);
		reply_refuse(reply, RPC_INTERNAL_ERROR, "out of memory");
		return NULL;
	}
	*q = (struct question){ .m = m, .reply = reply, .answer = answer, .left = 1, .next = m->questions };
	m->questions = q;
	return q;
}

struct asked {
	struct question *q;
	char *subject;
	question_fn fn;
	struct asked *next;
};

static void asked_free(struct asked *asked)
{
	struct asked **at = &asked->q->asked;

	while (*at != asked)
		at = &(*at)->next;
	*at = asked->next;
	free(asked->subject);
	free(asked);
}

static void on_answer(void *userdata, const struct host_reply *reply)
{
	struct asked *asked = userdata;
	struct question *q = asked->q;

	asked->fn(q, asked->subject, reply);
	asked_free(asked);
	question_less(q);
}

void question_ask(struct question *q, const struct gpu *gpu, enum host_op op, question_fn fn)
{
	struct host_request request = { .op = op, .gpu = gpu->address };
	struct asked *asked = calloc(1, sizeof(*asked));
	struct host_reply reply = { .r = -ENOMEM };

	if (!asked) {
		fn(q, gpu->name, &reply);
		return;
	}
	*asked = (struct asked){ .q = q, .subject = strdup(gpu->name), .fn = fn, .next = q->asked };
	q->asked = asked;
	q->left++;
	reply.r = q->m->host->ops->request(q->m->host, &request, on_answer, asked);
	if (reply.r < 0)
		on_answer(asked, &reply);
}

static void question_free(struct question *q)
{
	struct question **at = &q->m->questions;

	while (*at != q)
		at = &(*at)->next;
	*at = q->next;
	while (q->asked)
		asked_free(q->asked); /* the daemon ends: no answer comes any more */
	json_decref(q->answer);
	free(q);
}

void question_less(struct question *q)
{
	if (--q->left > 0)
		return;
	view_reply(q->m, q->reply, q->finish ? q->finish(q) : json_incref(q->answer));
	question_free(q);
}

void questions_end(struct manager *m)
{
	while (m->questions) {
		reply_refuse(m->questions->reply, RPC_INTERNAL_ERROR, "the daemon is ending");
		question_free(m->questions);
	}
}
