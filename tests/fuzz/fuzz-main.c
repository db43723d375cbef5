/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs one fuzz target without libFuzzer, so that `make check` has every target run: first over its
 * seed corpus, then over a bounded number of random mutations of it.  Prints TAP.
 *
 * A file given as argument is run alone.  GPUVF_SEED repeats a run, GPUVF_FUZZ_RUNS makes it
 * longer.  An input that kills the target is left in the working folder as crash-TARGET. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/random.h>

#include "fuzz.h"
#include "lib/io.h"

#define INPUT_MAX ((size_t)1 << 16)
#define RUNS_DEFAULT 100000 /* well under a second per target */
#define SECONDS_MAX 120    /* a target that hangs is killed */

/* What a target without its own costs. */
unsigned fuzz_cost __attribute__((weak)) = 1;

struct input {
	uint8_t *data;
	size_t size;
};

static struct {
	const char *target;
	struct input *seeds;
	size_t count;
	uint64_t random;
	char crash_path[128];
} fuzz;

/* What runs now: for the handler of crashes. */
static const uint8_t *volatile current;
static volatile size_t current_size;

static void save_current(void)
{
	int fd = open(fuzz.crash_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0)
		return;
	(void)write_all(fd, current, current_size); /* we are dying: nobody is left to tell */
	close(fd);
}

static void on_crash(int signum)
{
	save_current();
	signal(signum, SIG_DFL);
	raise(signum);
}

/* With a sanitizer, wild accesses are its own affair, and it has a hook for us. */
void __sanitizer_set_death_callback(void (*fn)(void)) __attribute__((weak));

static void watch_for_crashes(void)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL };
	size_t i;

	snprintf(fuzz.crash_path, sizeof(fuzz.crash_path), "crash-%s", fuzz.target);
	if (__sanitizer_set_death_callback)
		__sanitizer_set_death_callback(save_current);
	else
		for (i = 0; i < ARRAY_SIZE(signals); i++)
			signal(signals[i], on_crash);
	signal(SIGABRT, on_crash); /* FUZZ_CHECK() */
	signal(SIGALRM, on_crash);
	alarm(SECONDS_MAX);
}

static void run(const uint8_t *data, size_t size)
{
	/* A copy of exact size: reading past the end is seen by valgrind and sanitizers. */
	uint8_t *copy = malloc(size > 0 ? size : 1);

	FUZZ_CHECK(copy);
	if (size > 0)
		memcpy(copy, data, size);
	current = copy;
	current_size = size;
	(void)LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

/* xorshift64*: the same numbers on every machine. */
static uint64_t next_random(void)
{
	fuzz.random ^= fuzz.random >> 12;
	fuzz.random ^= fuzz.random << 25;
	fuzz.random ^= fuzz.random >> 27;
	return fuzz.random * 0x2545f4914f6cdd1d;
}

static size_t below(size_t n)
{
	return n > 0 ? (size_t)(next_random() >> 16) % n : 0;
}

static void insert(struct input *in, size_t at, const void *data, size_t size)
{
	if (in->size + size > INPUT_MAX)
		return;
	memmove(in->data + at + size, in->data + at, in->size - at);
	memcpy(in->data + at, data, size);
	in->size += size;
}

static void cut(struct input *in, size_t at, size_t size)
{
	memmove(in->data + at, in->data + at + size, in->size - at - size);
	in->size -= size;
}

static void mutate(struct input *in)
{
	/* Bytes that mean something to one parser or another. */
	static const char bytes[] = "{}[]\",:\\/~%.+-=0123456789aefgGinuMBs \t\r\n\x00\x1b\x7f\x80\xc2"
				    "\x9b\xe2\xed\xf4\xff";
	const struct input *other = &fuzz.seeds[below(fuzz.count)];
	size_t at = below(in->size + 1), length;
	uint8_t copy[64];

	switch (below(6)) {
	case 0: /* another byte */
		if (at < in->size)
			in->data[at] = (uint8_t)bytes[below(sizeof(bytes) - 1)];
		break;
	case 1: /* another bit */
		if (at < in->size)
			in->data[at] ^= (uint8_t)(1u << below(8));
		break;
	case 2: /* one byte more */
		insert(in, at, &bytes[below(sizeof(bytes) - 1)], 1);
		break;
	case 3: /* some bytes less */
		cut(in, at, below(MIN_OF(in->size - at, (size_t)32) + 1));
		break;
	case 4: /* some bytes twice */
		length = below(MIN_OF(in->size - at, sizeof(copy)) + 1);
		memcpy(copy, in->data + at, length);
		insert(in, below(in->size + 1), copy, length);
		break;
	default: /* a piece of another seed */
		length = below(MIN_OF(other->size, sizeof(copy)) + 1);
		insert(in, at, other->data + below(other->size - length + 1), length);
		break;
	}
}

static void run_mutations(unsigned long runs)
{
	struct input in = { malloc(INPUT_MAX + 1), 0 };

	FUZZ_CHECK(in.data);
	while (runs-- > 0) {
		const struct input *seed = &fuzz.seeds[below(fuzz.count)];
		size_t steps = 1 + below(8);

		memcpy(in.data, seed->data, seed->size);
		in.size = seed->size;
		while (steps-- > 0)
			mutate(&in);
		run(in.data, in.size);
	}
	free(in.data);
}

static int load_seed(int dirfd, const char *name)
{
	struct input in = { NULL, 0 }, *grown;
	char *text = NULL;
	int r;

	r = read_file_at(dirfd, name, INPUT_MAX, &text, &in.size);
	if (r < 0)
		return r;

	in.data = (uint8_t *)text;
	grown = realloc(fuzz.seeds, (fuzz.count + 1) * sizeof(*grown));
	if (!grown) {
		free(text);
		return -ENOMEM;
	}
	fuzz.seeds = grown;
	fuzz.seeds[fuzz.count++] = in;
	return 0;
}

static int load_seeds(void)
{
	const char *source = getenv("abs_top_srcdir");
	_cleanup_free_ char *path = xasprintf("%s/tests/fuzz/seeds/%s", source ? source : ".",
					      fuzz.target);
	struct dirent **entries;
	DIR *dir;
	int n, i, r = 0;

	/* Sorted, so that a seed of the random numbers always means the same run. */
	n = path ? scandir(path, &entries, NULL, alphasort) : -1;
	dir = n >= 0 ? opendir(path) : NULL;
	if (!dir) {
		fprintf(stderr, "no seeds in %s: %s\n", strempty(path), strerror(errno));
		return -ENOENT;
	}

	for (i = 0; i < n; i++) {
		if (r == 0 && entries[i]->d_name[0] != '.')
			r = load_seed(dirfd(dir), entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	closedir(dir);
	return r < 0 ? r : fuzz.count > 0 ? 0 : -ENOENT;
}

static int run_file(const char *path)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	int r;

	r = read_file_at(AT_FDCWD, path, INPUT_MAX, &text, &size);
	if (r < 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(-r));
		return EXIT_FAILURE;
	}
	run((const uint8_t *)text, size);
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	const char *seed = getenv("GPUVF_SEED"), *runs = getenv("GPUVF_FUZZ_RUNS");
	const char *slash = strrchr(argv[0], '/');
	unsigned long count = runs ? strtoul(runs, NULL, 10) : RUNS_DEFAULT / fuzz_cost;
	size_t i;

	fuzz.target = slash ? slash + 1 : argv[0];
	watch_for_crashes();
	if (argc > 1)
		return run_file(argv[1]);
	if (load_seeds() < 0)
		return EXIT_FAILURE;

	if (seed)
		fuzz.random = strtoull(seed, NULL, 10);
	else if (getrandom(&fuzz.random, sizeof(fuzz.random), 0) != sizeof(fuzz.random))
		return EXIT_FAILURE;
	fuzz.random += fuzz.random == 0; /* the generator would stay at 0 */

	printf("1..2\n# again: GPUVF_SEED=%llu\n", (unsigned long long)fuzz.random);
	fflush(stdout);
	for (i = 0; i < fuzz.count; i++)
		run(fuzz.seeds[i].data, fuzz.seeds[i].size);
	printf("ok 1 - %zu seeds\n", fuzz.count);
	fflush(stdout);
	run_mutations(count);
	printf("ok 2 - %lu mutations\n", count);

	while (fuzz.count > 0)
		free(fuzz.seeds[--fuzz.count].data);
	free(fuzz.seeds);
	return EXIT_SUCCESS;
}
