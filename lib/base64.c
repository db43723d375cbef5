/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Base64 with one accepted spelling per value, since much of what is decoded comes from guests. */
#include "lib/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_encode(const void *data, size_t size)
{
	const unsigned char *in = data;
	size_t groups = size / 3 + (size % 3 > 0), i;
	char *text, *out;

	if (groups > (SIZE_MAX - 1) / 4)
		return NULL;
	text = out = malloc(groups * 4 + 1);
	if (!text)
		return NULL;

	for (i = 0; i < size; i += 3) {
		size_t left = size - i;
		uint32_t bits = (uint32_t)in[i] << 16;

		if (left > 1)
			bits |= (uint32_t)in[i + 1] << 8;
		if (left > 2)
			bits |= in[i + 2];
		*out++ = alphabet[bits >> 18];
		*out++ = alphabet[bits >> 12 & 63];
		*out++ = left > 1 ? alphabet[bits >> 6 & 63] : '=';
		*out++ = left > 2 ? alphabet[bits & 63] : '=';
	}
	*out = '\0';
	return text;
}

static int digit_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	if (c == '/')
		return 63;
	return -1;
}

/* One group of four with `padding` signs "=" at its end.  Writes 3 - padding bytes. */
static bool decode_group(const char *text, unsigned padding, unsigned char *out)
{
	uint32_t bits = 0;
	unsigned i;

	for (i = 0; i < 4; i++) {
		int value = i < 4 - padding ? digit_value(text[i]) : 0;

		if (value < 0)
			return false;
		bits = bits << 6 | (uint32_t)value;
	}
	if ((bits & ((1u << (8 * padding)) - 1)) != 0) /* bits that no byte takes */
		return false;

	for (i = 0; i < 3 - padding; i++)
		out[i] = (unsigned char)(bits >> (16 - 8 * i));
	return true;
}

int base64_decode(const char *text, size_t length, void **ret, size_t *ret_size)
{
	_cleanup_free_ unsigned char *data = NULL;
	unsigned padding = 0;
	size_t size, i;

	if (length % 4 != 0)
		return -EINVAL;
	if (length > 0 && text[length - 1] == '=')
		padding = text[length - 2] == '=' ? 2 : 1;

	size = length / 4 * 3 - padding;
	data = malloc(size + 1);
	if (!data)
		return -ENOMEM;

	for (i = 0; i < length; i += 4)
		if (!decode_group(text + i, i + 4 == length ? padding : 0, data + i / 4 * 3))
			return -EINVAL;

	data[size] = '\0';
	*ret = TAKE_PTR(data);
	*ret_size = size;
	return 0;
}
