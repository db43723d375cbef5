/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The staged files of a job: content comes with the submitted document, and is replaced by its size
 * in the form that is stored. */
#include "policy/job-files.h"

#include <stdio.h>

#include "lib/base64.h"
#include "policy/policy-build.h"

#define PATH_BYTES_MAX 4095
#define MODE_DEFAULT 0644

struct file_fields {
	char *from, *to, *mode, *upload;
	json_t *content;
	uint64_t size_bytes;
};

#define FIELD(member, kind, ...)                                                                   \
	{ #member, kind, offsetof(struct file_fields, member), __VA_ARGS__ }
#define FILE_FIELDS                                                                                \
	FIELD(from, JSON_FIELD_STRING, .summary = "where the client read it"),                     \
		FIELD(to, JSON_FIELD_STRING, .required = true,                                     \
		      .summary = "a path in the guest, absolute or below the workdir"),            \
		FIELD(mode, JSON_FIELD_STRING,                                                     \
		      .summary = "octal permission bits such as \"0755\""),                        \
		POLICY_COMMENT_FIELDS

static const struct json_field submitted_fields[] = {
	FILE_FIELDS,
	FIELD(content, JSON_FIELD_ANY,
	      .summary = "base64; `gpuvf submit` reads the file and adds it"),
	FIELD(upload, JSON_FIELD_STRING, .nonempty = true, .max_length = 64,
	      .summary = "what job.upload named, for files that no message holds"),
	{ NULL },
};

static const struct json_field stored_fields[] = {
	FILE_FIELDS,
	FIELD(size_bytes, JSON_FIELD_UINT, .required = true),
	{ NULL },
};

static bool has_dotdot(const char *path)
{
	const char *part = path, *end;

	for (;; part = end + 1) {
		end = part + strcspn(part, "/");
		if (end - part == 2 && part[0] == '.' && part[1] == '.')
			return true;
		if (*end == '\0')
			return false;
	}
}

bool job_path_is_clean(const char *path)
{
	size_t length = strlen(path), i;

	if (length == 0 || length > PATH_BYTES_MAX || path[length - 1] == '/')
		return false;
	for (i = 0; i < length; i++)
		if ((unsigned char)path[i] < ' ' || path[i] == 0x7f)
			return false;
	return !has_dotdot(path);
}

static int mode_parse(const char *text, unsigned *ret)
{
	size_t length = strlen(text);

	/* Three digits, or a leading 0: set-id bits are not staged. */
	if (length == 4 && text[0] == '0')
		text++, length--;
	if (length != 3 || strspn(text, "01234567") != 3)
		return -EINVAL;
	*ret = (unsigned)strtoul(text, NULL, 8);
	return 0;
}

static int check_content(struct file_fields *f, const char *base, struct job_file *out,
			 struct json_fault *fault)
{
	_cleanup_free_ void *data = NULL;
	size_t size = 0;
	int r;

	if (!f->content == !f->upload)
		return json_fault_set(fault, base, f->content ? "upload" : "content",
				      "base64 in content, or what job.upload named in upload",
				      "give either content or upload");
	if (f->upload) {
		out->upload = TAKE_PTR(f->upload);
		return 0;
	}
	if (!json_is_string(f->content))
		return json_fault_set(fault, base, "content", NULL, "must be a string of base64");
	r = base64_decode(json_string_value(f->content), json_string_length(f->content), &data,
			  &size);
	if (r == -EINVAL)
		return json_fault_set(fault, base, "content", "RFC 4648 with padding",
				      "is not base64");
	if (r < 0)
		return r;

	out->size = size;
	out->content = TAKE_PTR(f->content);
	return 0;
}

static int fill_file(struct file_fields *f, bool stored, const char *base, struct job_file *out,
		     struct json_fault *fault)
{
	out->to = TAKE_PTR(f->to);
	out->mode = MODE_DEFAULT;
	if (!job_path_is_clean(out->to))
		return json_fault_set(fault, base, "to", "such as \"train.py\"",
				      "must be the path of a file without \"..\" or control "
				      "characters");
	if (f->mode && mode_parse(f->mode, &out->mode) < 0)
		return json_fault_set(fault, base, "mode", "such as \"0644\" or \"0755\"",
				      "is not octal permission bits");
	if (!stored)
		return check_content(f, base, out, fault);
	out->size = f->size_bytes;
	return 0;
}

static int read_file(const json_t *json, size_t i, bool stored, struct job_file *out,
		     struct json_fault *fault)
{
	const struct json_field *fields = stored ? stored_fields : submitted_fields;
	struct file_fields f = { NULL };
	char base[32];
	int r;

	snprintf(base, sizeof(base), "/files/%zu", i);
	r = json_fields_decode(json, base, fields, &f, fault);
	if (r < 0)
		return r;
	r = fill_file(&f, stored, base, out, fault);
	json_fields_done(fields, &f);
	return r;
}

/* Two files for one path, or more than a job may bring. */
static int check_with_others(const struct job_file *files, size_t i, struct json_fault *fault)
{
	uint64_t total = 0;
	char base[32];
	size_t k;

	snprintf(base, sizeof(base), "/files/%zu", i);
	for (k = 0; k <= i; k++) {
		total += files[k].size;
		if (k < i && streq(files[k].to, files[i].to))
			return json_fault_set(fault, base, "to", "each path once",
					      "is the path of files[%zu] already", k);
	}
	if (total > JOB_FILES_MAX)
		return json_fault_set(fault, base, NULL, "keep large data in the VM",
				      "makes the files larger than %llu MiB",
				      (unsigned long long)(JOB_FILES_MAX / MIB));
	return 0;
}

int job_files_read(const json_t *files, bool stored, struct job_file **ret, size_t *ret_n,
		   struct json_fault *fault)
{
	size_t n = json_array_size(files), i;
	struct job_file *list;
	int r = 0;

	if (n == 0)
		return 0;
	list = calloc(n, sizeof(*list));
	if (!list)
		return -ENOMEM;

	for (i = 0; i < n && r == 0; i++) {
		r = read_file(json_array_get(files, i), i, stored, &list[i], fault);
		if (r == 0)
			r = check_with_others(list, i, fault);
	}
	if (r < 0) {
		job_files_free(list, n);
		return r;
	}
	*ret = list;
	*ret_n = n;
	return 0;
}

void job_files_free(struct job_file *files, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		free(files[i].to);
		free(files[i].upload);
		json_decref(files[i].content);
	}
	free(files);
}

json_t *job_files_strip(const json_t *document, const struct job_file *files, size_t n)
{
	_cleanup_json_ json_t *copy = json_copy((json_t *)document), *list = NULL;
	size_t i;

	if (!copy || n == 0)
		return TAKE_PTR(copy);

	list = json_array();
	for (i = 0; i < n; i++) {
		const json_t *file = json_array_get(json_object_get(document, "files"), i);
		_cleanup_json_ json_t *stored = json_copy((json_t *)file);

		if (!stored)
			return NULL;
		(void)json_object_del(stored, "content");
		(void)json_object_del(stored, "upload");
		if (json_put_uint(stored, "size_bytes", files[i].size) < 0 ||
		    json_array_append(list, stored) < 0)
			return NULL;
	}
	if (json_object_set(copy, "files", list) < 0)
		return NULL;
	return TAKE_PTR(copy);
}
