/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tells from a word's form what it names, and reads the files that words name. */
#include <ctype.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "cli/cli.h"
#include "lib/io.h"
#include "lib/pci-address.h"

/* Skips digits; NULL when there are none. */
static const char *skip_digits(const char *s)
{
	if (!s || !isdigit((unsigned char)*s))
		return NULL;
	while (isdigit((unsigned char)*s))
		s++;
	return s;
}

static const char *skip_word(const char *s, const char *word)
{
	size_t n = strlen(word);

	return s && strncmp(s, word, n) == 0 ? s + n : NULL;
}

static bool ends(const char *s)
{
	return s && *s == '\0';
}

static bool is_address(const char *s)
{
	struct pci_address address;

	return pci_address_parse(s, &address) == 0;
}

bool is_operation_name(const char *s)
{
	return ends(skip_digits(skip_word(s, "op/")));
}

bool is_job_id(const char *s)
{
	const char *rest = skip_digits(s);

	return ends(rest) || (rest && *rest == '_' && ends(skip_digits(rest + 1)));
}

bool is_vf_name(const char *s)
{
	return ends(skip_digits(skip_word(skip_digits(skip_word(s, "gpu")), "/vf"))) ||
	       is_address(s);
}

bool is_gpu_name(const char *s)
{
	return ends(skip_digits(skip_word(s, "gpu"))) || is_address(s);
}

char *id_text(const json_t *object)
{
	const json_t *id = json_object_get(object, "id");

	if (json_is_integer(id))
		return xasprintf("%lld", (long long)json_integer_value(id));
	return strdup(strempty(json_string_value(id)));
}

/* Reads a stream to its end. */
static int read_stream(FILE *in, size_t max, char **ret, size_t *ret_size)
{
	_cleanup_free_ char *data = NULL;
	size_t size = 0, allocated = 0;

	for (;;) {
		size_t n;

		if (allocated - size < 2) {
			char *more;

			allocated = allocated ? allocated * 2 : 65536;
			more = realloc(data, allocated);
			if (!more)
				return -ENOMEM;
			data = more;
		}
		n = fread(data + size, 1, allocated - size - 1, in);
		size += n;
		if (size > max)
			return -EFBIG;
		if (n == 0)
			break;
	}
	if (ferror(in))
		return -EIO;
	data[size] = '\0';
	*ret = TAKE_PTR(data);
	*ret_size = size;
	return 0;
}

/* Says so instead of "Is a directory" after an open that worked. */
static int check_no_folder(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	return 0;
}

int cli_read_file(struct cli *cli, const char *path, size_t max, char **ret, size_t *ret_size)
{
	int r;

	if (streq(path, "-")) {
		r = read_stream(cli->in, max, ret, ret_size);
	} else {
		r = check_no_folder(path);
		if (r == 0)
			r = read_file_at(AT_FDCWD, path, max, ret, ret_size);
	}
	if (r == 0)
		return 0;
	if (r == -EFBIG)
		return cli_refuse(cli, RPC_LIMIT, "is it the right file?",
				  "%s: larger than %zu bytes", path, max);
	return cli_refuse(cli, r == -ENOENT ? RPC_NOT_FOUND : RPC_HOST_ERROR, NULL, "%s: %s", path,
			  strerror(-r));
}

int cli_parse_json(struct cli *cli, const char *name, const char *text, size_t size, json_t **ret)
{
	json_error_t error = { .line = 0 };

	if (json_parse(text, size, ret, &error) == 0)
		return 0;
	return cli_refuse(cli, RPC_INVALID_DOCUMENT, NULL, "%s:%d:%d: %s", name,
			  MAX_OF(error.line, 1), MAX_OF(error.column, 1), error.text);
}
