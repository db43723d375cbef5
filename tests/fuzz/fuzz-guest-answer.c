/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Each check of a guest agent's "return", with any JSON. */
#include "fuzz.h"
#include "runner/guest-answer.h"
#include "runner/progress.h"

static void check_answers(const json_t *json)
{
	struct guest_exec_status status;
	const char *missing;
	uint64_t number;
	size_t size;
	void *data;
	bool eof;

	if (guest_answer_pid(json, &number) == 0)
		FUZZ_CHECK(number > 0 && number <= INT32_MAX);
	(void)guest_answer_handle(json, &number);
	(void)guest_answer_info(json, &missing);
	if (guest_answer_read(json, 16, &data, &size, &eof) == 0) {
		FUZZ_CHECK(size <= 16);
		free(data);
	}
	if (guest_answer_exec_status(json, &status) == 0) {
		FUZZ_CHECK(!status.exited || (status.out && status.err));
		FUZZ_CHECK(!status.exited || (status.exit_code >= 0) != (status.signal > 0));
		guest_exec_status_done(&status);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_json_ json_t *json = NULL;
	_cleanup_free_ char *text = fuzz_string(data, size);
	_cleanup_free_ struct progress_reader *reader = calloc(1, sizeof(*reader));
	struct runner_progress progress = { 0 };

	if (json_parse(text, size, &json, NULL) == 0)
		check_answers(json);
	FUZZ_CHECK(reader);
	(void)progress_feed(reader, text, size, &progress);
	return 0;
}
