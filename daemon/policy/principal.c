/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who a rule speaks of.  Names become ids once, when the policy loads: later checks compare numbers
 * and never ask a name service. */
#include "policy/policy-build.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>

/* A group with this much text in its entry is not one that we want to read. */
#define ENTRY_SIZE_MAX ((size_t)1 << 20)

#define ACCOUNT_NAME_MAX 256

static const struct {
	const char *prefix;
	int kind;
} kinds[] = {
	{ "user:", PRINCIPAL_USER },
	{ "group:", PRINCIPAL_GROUP },
};

/* Directory services have names such as "eve@lab" and "LAB\\eve", so little is excluded. */
static bool account_name_is_valid(const char *name)
{
	size_t i;

	for (i = 0; name[i]; i++)
		if ((unsigned char)name[i] <= ' ' || name[i] == 0x7f || name[i] == ':')
			return false;
	return i > 0 && i <= ACCOUNT_NAME_MAX;
}

int principal_parse(const char *text, struct principal *ret)
{
	struct principal who = { .kind = PRINCIPAL_EVERYONE };
	size_t i, length;

	if (streq(text, "everyone")) {
		who.resolved = true;
		who.name = strdup(text);
		if (!who.name)
			return -ENOMEM;
		*ret = who;
		return 0;
	}

	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		length = strlen(kinds[i].prefix);
		if (strncmp(text, kinds[i].prefix, length) != 0)
			continue;
		if (!account_name_is_valid(text + length))
			return -EINVAL;
		who.kind = kinds[i].kind;
		who.name = strdup(text);
		if (!who.name)
			return -ENOMEM;
		*ret = who;
		return 0;
	}
	return -EINVAL;
}

/* "1000" names the id itself. */
static bool number_parse(const char *s, uint32_t *ret)
{
	unsigned long long n;
	char *end = NULL;

	if (*s < '0' || *s > '9')
		return false;
	errno = 0;
	n = strtoull(s, &end, 10);
	if (errno != 0 || *end != '\0' || n >= UINT32_MAX)
		return false;
	*ret = (uint32_t)n;
	return true;
}

static int user_id(const char *name, char *buf, size_t size, uint32_t *ret)
{
	struct passwd entry, *found = NULL;
	int r = getpwnam_r(name, &entry, buf, size, &found);

	if (found)
		*ret = entry.pw_uid;
	return r == ERANGE ? -ERANGE : found ? 0 : -ENOENT;
}

static int group_id(const char *name, char *buf, size_t size, uint32_t *ret)
{
	struct group entry, *found = NULL;
	int r = getgrnam_r(name, &entry, buf, size, &found);

	if (found)
		*ret = entry.gr_gid;
	return r == ERANGE ? -ERANGE : found ? 0 : -ENOENT;
}

int principal_resolve(struct principal *who)
{
	const char *name;
	size_t size;
	int r = -ERANGE;

	if (who->kind == PRINCIPAL_EVERYONE)
		return 0;

	name = strchr(who->name, ':') + 1;
	for (size = 4096; size <= ENTRY_SIZE_MAX && r == -ERANGE; size *= 4) {
		_cleanup_free_ char *buf = malloc(size);

		if (!buf)
			return -ENOMEM;
		r = who->kind == PRINCIPAL_USER ? user_id(name, buf, size, &who->id) :
						  group_id(name, buf, size, &who->id);
	}
	who->resolved = r == 0 || number_parse(name, &who->id);
	return who->resolved ? 0 : -ENOENT;
}

void principal_done(struct principal *who)
{
	free(who->name);
	memset(who, 0, sizeof(*who));
}

void principals_free(struct principal *list, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		principal_done(&list[i]);
	free(list);
}

static int principal_warn_unresolved(struct policy_builder *b, const struct principal *who,
				     const char *base, const char *index)
{
	_cleanup_free_ char *pointer = xasprintf("%s/%s", base, index);
	struct policy_place place = { b->source, pointer };

	if (!pointer)
		return -ENOMEM;
	return policy_warn(b, &place, "\"%s\" is not known on this host and matches nobody",
			   who->name);
}

int principals_read(struct policy_builder *b, const json_t *array, const char *base,
		    const char *member, struct principal **ret, size_t *ret_n,
		    struct json_fault *fault)
{
	_cleanup_free_ char *inner = xasprintf("%s/%s", base, member);
	size_t n = json_array_size(array), i;
	struct principal *list = NULL;
	char index[24];
	int r;

	if (!inner)
		return -ENOMEM;
	list = calloc(n + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;

	for (i = 0; i < n; i++) {
		const char *text = json_string_value(json_array_get(array, i));

		snprintf(index, sizeof(index), "%zu", i);
		r = principal_parse(text, &list[i]);
		if (r == -EINVAL)
			r = json_fault_set(fault, inner, index,
					   "write \"user:NAME\", \"group:NAME\" or \"everyone\"",
					   "\"%.64s\" names nobody", text);
		if (r == 0 && b->resolve)
			r = principal_resolve(&list[i]);
		if (r == -ENOENT)
			r = principal_warn_unresolved(b, &list[i], inner, index);
		if (r < 0) {
			principals_free(list, n);
			return r;
		}
	}
	*ret = list;
	*ret_n = n;
	return 0;
}

static bool has_group(const gid_t *gids, size_t n, uint32_t gid)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (gids[i] == gid)
			return true;
	return false;
}

bool principals_allow(const struct principal *list, size_t n, uid_t uid, const gid_t *gids,
		      size_t n_gids)
{
	size_t i;

	for (i = 0; i < n; i++) {
		const struct principal *who = &list[i];

		if (!who->resolved)
			continue;
		switch (who->kind) {
		case PRINCIPAL_EVERYONE:
			return true;
		case PRINCIPAL_USER:
			if (who->id == uid)
				return true;
			break;
		case PRINCIPAL_GROUP:
			if (has_group(gids, n_gids, who->id))
				return true;
			break;
		}
	}
	return false;
}
