/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The shape of a VF: out of documents and into them. */
#include "policy/vf-shape.h"

#include <stdio.h>

const char *const vf_shape_member_names[VF_ATTRIBUTE_MAX] = {
	[VF_ATTR_VRAM] = "vram",
	[VF_ATTR_GGTT] = "ggtt",
	[VF_ATTR_CONTEXTS] = "contexts",
	[VF_ATTR_DOORBELLS] = "doorbells",
	[VF_ATTR_EXEC_QUANTUM] = "exec_quantum",
	[VF_ATTR_PREEMPT_TIMEOUT] = "preempt_timeout",
	[VF_ATTR_PRIORITY] = "priority",
};
DEFINE_ENUM_TABLE(vf_shape_member, enum vf_attribute, VF_ATTRIBUTE_MAX);

bool vf_shape_equal(const struct vf_shape *a, const struct vf_shape *b)
{
	size_t i;

	for (i = 0; i < VF_ATTRIBUTE_MAX; i++) {
		const struct amount *x = &a->wanted[i], *y = &b->wanted[i];
		bool plain = x->kind == AMOUNT_BYTES || x->kind == AMOUNT_PERCENT;

		if (x->kind != y->kind || (plain && x->value != y->value))
			return false;
	}
	return true;
}

void vf_shape_merge(struct vf_shape *to, const struct vf_shape *from)
{
	size_t i;

	for (i = 0; i < VF_ATTRIBUTE_MAX; i++)
		if (from->wanted[i].kind != AMOUNT_UNSET)
			to->wanted[i] = from->wanted[i];
}

int vf_shape_from_fields(const struct vf_shape_fields *f, const char *base, struct vf_shape *ret,
			 struct json_fault *fault)
{
	struct amount *wanted = ret->wanted;

	*ret = (struct vf_shape){ 0 };
	wanted[VF_ATTR_VRAM] = f->vram;
	wanted[VF_ATTR_GGTT] = f->ggtt;
	if (f->contexts > 0)
		wanted[VF_ATTR_CONTEXTS] = amount_of(f->contexts);
	if (f->doorbells > 0)
		wanted[VF_ATTR_DOORBELLS] = amount_of(f->doorbells);
	if (f->preempt_timeout != USEC_INFINITY)
		wanted[VF_ATTR_PREEMPT_TIMEOUT] = amount_of(f->preempt_timeout);
	if (f->priority >= 0)
		wanted[VF_ATTR_PRIORITY] = amount_of((uint64_t)f->priority);
	if (f->exec_quantum == USEC_INFINITY)
		return 0;
	if (f->exec_quantum % USEC_PER_MSEC != 0)
		return json_fault_set(fault, base, "exec_quantum", "such as \"20ms\"",
				      "must be whole milliseconds");
	wanted[VF_ATTR_EXEC_QUANTUM] = amount_of(f->exec_quantum / USEC_PER_MSEC);
	return 0;
}

/* A size, a share or "fair"; null when unset. */
static json_t *amount_to_json(const struct amount *amount)
{
	char buf[32];

	switch (amount->kind) {
	case AMOUNT_BYTES:
		return json_string(size_format_exact(amount->value, buf, sizeof(buf)));
	case AMOUNT_PERCENT:
		snprintf(buf, sizeof(buf), "%llu.%02llu%%", (unsigned long long)amount->value / 100,
			 (unsigned long long)amount->value % 100);
		return json_string(buf);
	case AMOUNT_FAIR:
		return json_string("fair");
	case AMOUNT_UNSET:
	case _AMOUNT_MAX:
		break;
	}
	return json_null();
}

static json_t *number_to_json(const struct amount *amount)
{
	return amount->kind == AMOUNT_BYTES ? json_integer((json_int_t)amount->value) : json_null();
}

static json_t *priority_to_json(const struct amount *amount)
{
	return amount->kind == AMOUNT_BYTES ?
		       json_string(vf_priority_to_string((enum vf_priority)amount->value)) :
		       json_null();
}

/* "20ms": as the parser of durations takes it back, whatever the number. */
static json_t *duration_to_json(const struct amount *amount, const char *unit)
{
	_cleanup_free_ char *text = NULL;

	if (amount->kind != AMOUNT_BYTES)
		return json_null();
	text = xasprintf("%llu%s", (unsigned long long)amount->value, unit);
	return text ? json_string(text) : NULL;
}

static json_t *document_value(const struct vf_shape *shape, enum vf_attribute attribute)
{
	const struct amount *amount = &shape->wanted[attribute];

	switch (attribute) {
	case VF_ATTR_VRAM:
	case VF_ATTR_GGTT:
		return amount_to_json(amount);
	case VF_ATTR_CONTEXTS:
	case VF_ATTR_DOORBELLS:
		return number_to_json(amount);
	case VF_ATTR_EXEC_QUANTUM:
		return duration_to_json(amount, "ms");
	case VF_ATTR_PREEMPT_TIMEOUT:
		return duration_to_json(amount, "us");
	case VF_ATTR_PRIORITY:
		return priority_to_json(amount);
	case VF_ATTRIBUTE_MAX:
		break;
	}
	return NULL;
}

int vf_shape_put_document(json_t *object, const struct vf_shape *shape)
{
	size_t i;
	int r = 0;

	for (i = 0; i < VF_ATTRIBUTE_MAX && r == 0; i++)
		if (shape->wanted[i].kind != AMOUNT_UNSET)
			r = json_put(object, vf_shape_member_to_string((enum vf_attribute)i),
				     document_value(shape, (enum vf_attribute)i));
	return r;
}

int vf_shape_put_stored(json_t *object, const struct vf_shape *shape)
{
	const struct amount *wanted = shape->wanted;

	if (json_put(object, "vram", amount_to_json(&wanted[VF_ATTR_VRAM])) < 0 ||
	    json_put(object, "ggtt", amount_to_json(&wanted[VF_ATTR_GGTT])) < 0 ||
	    json_put(object, "contexts", number_to_json(&wanted[VF_ATTR_CONTEXTS])) < 0 ||
	    json_put(object, "doorbells", number_to_json(&wanted[VF_ATTR_DOORBELLS])) < 0 ||
	    json_put(object, "exec_quantum_ms", number_to_json(&wanted[VF_ATTR_EXEC_QUANTUM])) < 0 ||
	    json_put(object, "preempt_timeout_us",
		     number_to_json(&wanted[VF_ATTR_PREEMPT_TIMEOUT])) < 0 ||
	    json_put(object, "priority", priority_to_json(&wanted[VF_ATTR_PRIORITY])) < 0)
		return -ENOMEM;
	return 0;
}

static struct amount amount_from(int64_t n)
{
	return n < 0 ? (struct amount){ 0 } : amount_of((uint64_t)n);
}

void vf_shape_from_stored(const struct vf_shape_stored *f, struct vf_shape *ret)
{
	*ret = (struct vf_shape){ .wanted = {
		[VF_ATTR_VRAM] = f->vram,
		[VF_ATTR_GGTT] = f->ggtt,
		[VF_ATTR_CONTEXTS] = amount_from(f->contexts),
		[VF_ATTR_DOORBELLS] = amount_from(f->doorbells),
		[VF_ATTR_EXEC_QUANTUM] = amount_from(f->exec_quantum_ms),
		[VF_ATTR_PREEMPT_TIMEOUT] = amount_from(f->preempt_timeout_us),
		[VF_ATTR_PRIORITY] = amount_from(f->priority),
	} };
}
