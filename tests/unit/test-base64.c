/* SPDX-License-Identifier: GPL-2.0-or-later */
/* RFC 4648 vectors, and one spelling per value. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base64.h"

static const char *const vectors[][2] = {
	{ "", "" },	      { "f", "Zg==" },	       { "fo", "Zm8=" },	{ "foo", "Zm9v" },
	{ "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" },
};

static void test_vectors(void **state)
{
	size_t i, size;

	for (i = 0; i < ARRAY_SIZE(vectors); i++) {
		_cleanup_free_ char *text = base64_encode(vectors[i][0], strlen(vectors[i][0]));
		_cleanup_free_ void *data = NULL;

		assert_string_equal(text, vectors[i][1]);
		assert_int_equal(base64_decode(text, strlen(text), &data, &size), 0);
		assert_int_equal(size, strlen(vectors[i][0]));
		assert_string_equal((char *)data, vectors[i][0]);
	}
}

static void test_all_bytes(void **state)
{
	unsigned char bytes[256];
	_cleanup_free_ void *data = NULL;
	_cleanup_free_ char *text = NULL;
	size_t i, size;

	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)i;
	text = base64_encode(bytes, sizeof(bytes));
	assert_int_equal(base64_decode(text, strlen(text), &data, &size), 0);
	assert_int_equal(size, sizeof(bytes));
	assert_memory_equal(data, bytes, sizeof(bytes));
}

/* Memory of exactly the size: a sanitizer sees a byte too far. */
static void test_exact_memory(void **state)
{
	size_t size;

	for (size = 1; size < 8; size++) {
		_cleanup_free_ char *bytes = malloc(size), *text = NULL, *exact = NULL;
		_cleanup_free_ void *data = NULL;
		size_t length, back;

		memset(bytes, 0xff, size);
		text = base64_encode(bytes, size);
		length = strlen(text);
		exact = malloc(length);
		memcpy(exact, text, length);
		assert_int_equal(base64_decode(exact, length, &data, &back), 0);
		assert_int_equal(back, size);
		assert_memory_equal(data, bytes, size);
	}
}

static void test_refusals(void **state)
{
	static const char *const bad[] = {
		"Z",	"Zg",	 "Zg=",	   "Zm9",      "Zm9vY",	   "=",	       "==",	"====",
		"Zg=a", "Z===",	 "Zh==",   "Zm9=",     "Zg==Zg==", "Zm9v====", "Zm9v\n", "Zm 9",
		"Zm9-", "Zm9_",	 "Zm9\xff", "Zg==\n\n\n\n", "Z=g=",
	};
	void *data = NULL;
	size_t i, size = 7;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		if (base64_decode(bad[i], strlen(bad[i]), &data, &size) != -EINVAL)
			fail_msg("accepted: %s", bad[i]);
	assert_int_equal(base64_decode("Zm9\0", 4, &data, &size), -EINVAL);
	assert_null(data);
	assert_int_equal(size, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_all_bytes),
		cmocka_unit_test(test_exact_memory),
		cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
