/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bundle: its file, its members as tar reads them, and the secrets that are not in it. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "doctor/doctor.h"
#include "doctor/redact.h"
#include "doctor/ustar.h"
#include "lib/io.h"

/* Nothing that is planted may come out. */
#define PLANTED "planted-Secret7"

static void test_redact_text(void **state)
{
	static const struct {
		const char *text, *wanted;
	} cases[] = {
		{"root=/dev/sda1 quiet", "root=/dev/sda1 quiet"},
		{"rd.luks.key=" PLANTED " quiet", "rd.luks.key=*** quiet"},
		{"PASSWORD: " PLANTED ", next", "PASSWORD: ***, next"},
		{"{\"hf_token\": \"" PLANTED "\", \"n\": 1}", "{\"hf_token\": ***, \"n\": 1}"},
		{"{\"secret_env\": {\"A\": \"" PLANTED "\"}}", "{\"secret_env\": ***}"},
		{"from https://eve:" PLANTED "@host/x", "from https://***@host/x"},
		{"a passing remark", "a passing remark"},
		{"token='" PLANTED " " PLANTED "' rest", "token=*** rest"},
		{"", ""},
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *text = redact_text(cases[i].text);

		assert_string_equal(text, cases[i].wanted);
	}
}

static void test_redact_json(void **state)
{
	_cleanup_json_ json_t *json =
		json_pack("{s:s,s:{s:s},s:{s:s},s:[s],s:i,s:{s:s}}", "name", "x", "env", "A",
			  PLANTED, "secret_env", "B", PLANTED, "list", "password=" PLANTED, "n", 7,
			  "file", "content", PLANTED);
	_cleanup_json_ json_t *safe = redact_json(json);
	_cleanup_free_ char *text = json_text(safe);

	assert_null(strstr(text, PLANTED));
	assert_string_equal(json_get_string(safe, "name"), "x");
	assert_int_equal(json_get_uint(safe, "n", 0), 7);
}

/* As libvirt's XML comes out of domain_xml_redact(), which has tests of its own. */
static const char xml[] = "<domain><name>trainer-1</name></domain>";

/* ---- the archive ---- */

/* What tar(1) says. */
static char *run_tar(const char *options, const char *path, const char *member)
{
	_cleanup_free_ char *command =
		xasprintf("tar %s '%s' %s 2>&1", options, path, strempty(member));
	FILE *pipe = popen(command, "r");
	char *text = calloc(1, 65536);

	assert_non_null(pipe);
	assert_true(fread(text, 1, 65535, pipe) < 65535);
	assert_int_equal(pclose(pipe), 0);
	return text;
}

static void test_ustar(void **state)
{
	char path[] = "/tmp/gpuvf-tar-XXXXXX", big[1500];
	int fd = mkstemp(path);
	_cleanup_free_ char *list = NULL, *one = NULL;

	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	assert_int_equal(ustar_add(fd, "empty.txt", "", 0, 0), 0);
	assert_int_equal(ustar_add(fd, "folder/big.txt", big, strlen(big), 1700000000), 0);
	assert_int_equal(ustar_add(fd, "", "", 0, 0), -EINVAL);
	memset(big, 'n', 120);
	big[120] = '\0';
	assert_int_equal(ustar_add(fd, big, "", 0, 0), -EINVAL); /* a name that does not fit */
	assert_int_equal(ustar_end(fd), 0);
	assert_int_equal(lseek(fd, 0, SEEK_CUR) % 512, 0);
	safe_close(fd);
	list = run_tar("-tf", path, NULL);
	assert_string_equal(list, "empty.txt\nfolder/big.txt\n");
	one = run_tar("-xOf", path, "folder/big.txt");
	assert_int_equal(strlen(one), 1499);
	unlink(path);
}

static void make_examination(struct examination *e)
{
	struct notebook *host = &examination_add(e, SUBJECT_HOST, "host")->book;
	_cleanup_free_ char *line = redact_text("xe 0000:03:00.0: token=" PLANTED);

	notebook_add(host, "version.kernel", "/proc/sys/kernel/osrelease", NOTE_SEEN, "6.19");
	notebook_add(host, "klog.0", "kernel log", NOTE_SEEN, line);
	notebook_add(&examination_add(e, SUBJECT_GPU, "0000:03:00.0")->book, "driver",
		     "/sys/x/driver", NOTE_SEEN, "xe");
	notebook_add(&examination_add(e, SUBJECT_VM, "trainer/../1")->book, "xml", "libvirt",
		     NOTE_SEEN, xml);
	e->daemon = json_pack("{s:{s:s}}", "daemon/status.json", "version", "0.1.0");
}

static void test_bundle(void **state)
{
	char folder[] = "/tmp/gpuvf-bundle-XXXXXX", path[64];
	struct examination e = {0};
	struct findings f = {0};
	_cleanup_free_ char *list = NULL, *all = NULL;
	struct stat st;
	int fd = -1;

	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/b.tar", folder);
	make_examination(&e);
	examination_judge(&e, NULL, &f);
	assert_int_equal(doctor_bundle_create(path, false, &fd), 0);
	assert_int_equal(doctor_bundle_write(path, fd, &e, &f), 0);
	safe_close(fd);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	list = run_tar("-tf", path, NULL);
	assert_string_equal(list,
			    "README.txt\nfindings.txt\nfindings.json\nhost.txt\nkernel-log.txt\n"
			    "journal.txt\ngpu-0000:03:00.0.txt\nvm-1.txt\nvm-1.xml\n"
			    "daemon/status.json\n");
	all = run_tar("-xOf", path, NULL);
	assert_null(strstr(all, PLANTED));
	assert_non_null(strstr(all, "driver\t/sys/x/driver\txe"));

	assert_int_equal(doctor_bundle_create(path, false, &fd), -EEXIST);
	assert_int_equal(doctor_bundle_create(path, true, &fd), 0);
	safe_close(fd);
	unlink(path);
	/* not through a link that somebody laid there */
	assert_int_equal(symlink("/tmp/gpuvf-elsewhere", path), 0);
	assert_int_equal(doctor_bundle_create(path, false, &fd), -EEXIST);
	unlink(path);
	rmdir(folder);
	findings_done(&f);
	examination_done(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_redact_text),
		cmocka_unit_test(test_redact_json),
		cmocka_unit_test(test_ustar),
		cmocka_unit_test(test_bundle),
	};

	umask(0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
