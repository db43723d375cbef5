/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tiny-lora: fine-tunes a small network by low-rank adaptation.  The commands,
 * and the loop that they share; README.md has the mathematics.
 *
 * Runs as a job of gpuvf and alone.  It needs nothing but a C library, so that
 * it can be staged into the smallest guest. */
#include "blob.h"
#include "data.h"
#include "model.h"
#include "options.h"
#include "report.h"
#include "train.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define REPORTS 40	/* progress lines of a whole run: enough for a curve, few for a log */
#define EXIT_REFUSED 2
#define EXIT_STOPPED 143	/* 128 + SIGTERM, as a shell would say */

static const char usage[] =
	"usage: tiny-lora finetune --base FILE --data FILE --out DIR [options]\n"
	"       tiny-lora eval --base FILE --data FILE [--adapter FILE]\n"
	"       tiny-lora pretrain --data FILE --out FILE [options]\n"
	"options: --steps N --batch N --rank R --alpha X --lr X --weight-decay X --seed N\n"
	"exit: 0 done, 1 failed, 2 bad arguments or files, 143 stopped by SIGTERM\n";

static volatile sig_atomic_t stop_asked;

static void on_sigterm(int signal_number)
{
	stop_asked = 1;
}

/* ---- The loop that pretrain and finetune share -------------------------------- */

struct training {
	struct model model;
	struct adapter adapter;	/* values is NULL while the base itself is trained */
	struct data data;
	struct recipe recipe;
	struct run run;
	struct report report;
};

static void training_done(struct training *t)
{
	report_close(&t->report);
	run_done(&t->run);
	data_done(&t->data);
	adapter_done(&t->adapter);
	model_done(&t->model);
}

static void train_batch(struct training *t)
{
	const struct adapter *adapter = t->adapter.values ? &t->adapter : NULL;

	for (uint32_t i = 0; i < t->recipe.batch; i++) {
		uint32_t row = rng_index(&t->run.rng, t->data.train);
		struct pass pass;

		model_forward(&t->model, adapter, t->data.images[row], &pass);
		t->run.loss_sum += pass_loss(&pass, t->data.labels[row]);
		t->run.loss_count++;
		model_backward(&t->model, adapter, &pass, t->data.labels[row],
			       adapter ? NULL : t->run.grad, adapter ? t->run.grad : NULL);
	}
	run_update(&t->run, &t->recipe);
}

/* Returns 0 at the last step, 1 when SIGTERM came before it. */
static int train(struct training *t)
{
	uint32_t every = (t->recipe.steps + REPORTS - 1) / REPORTS;
	int r;

	while (t->run.step < t->recipe.steps) {
		if (stop_asked)
			return 1;
		train_batch(t);
		if (t->run.step % every != 0 && t->run.step != t->recipe.steps)
			continue;
		r = report_line(&t->report, "{\"step\":%u,\"total\":%u,\"loss\":%.6f}", t->run.step,
				t->recipe.steps, t->run.loss_sum / t->run.loss_count);
		if (r < 0)
			return r;
		t->run.loss_sum = 0.0;
		t->run.loss_count = 0;
	}
	return 0;
}

static int catch_sigterm(void)
{
	struct sigaction action = { .sa_handler = on_sigterm, .sa_flags = SA_RESTART };

	return sigaction(SIGTERM, &action, NULL) < 0 ? -errno : 0;
}

static void set_recipe(struct training *t, const struct options *options)
{
	t->recipe = (struct recipe){
		.base_sum = t->adapter.values ? model_sum(&t->model) : 0,
		.data_sum = t->data.sum,
		.seed = options->seed,
		.steps = (uint32_t)options->steps,
		.batch = (uint32_t)options->batch,
		.rank = (uint32_t)options->rank,
		.alpha = options->alpha,
		.rate = options->rate,
		.decay = options->decay,
	};
}

/* ---- pretrain ----------------------------------------------------------------- */

static int pretrain(struct training *t, const struct options *options)
{
	struct rng rng = { .state = options->seed };
	double accuracy;
	int r;

	if (!options->data || !options->out)
		return refuse("pretrain needs --data and --out");
	r = data_load(&t->data, options->data);
	if (r < 0)
		return r;
	r = model_new(&t->model, &rng);
	if (r < 0)
		return r;
	r = run_init(&t->run, t->model.values, t->model.count, rng_next(&rng));
	if (r < 0)
		return r;
	r = report_open(&t->report);
	if (r < 0)
		return r;
	set_recipe(t, options);
	r = train(t);
	if (r < 0)
		return r;
	if (r > 0) {
		fputs("tiny-lora: stopped; pretrain keeps no checkpoint\n", stderr);
		return r;
	}
	accuracy = model_accuracy(&t->model, NULL, &t->data, t->data.train, t->data.rows);
	r = model_save(&t->model, options->out);
	if (r < 0)
		return r;
	return report_line(&t->report, "{\"event\":\"done\",\"accuracy\":%.4f,\"held_out\":%u,"
			   "\"weights\":%zu}", accuracy, t->data.rows - t->data.train,
			   t->model.count);
}

/* ---- finetune ----------------------------------------------------------------- */

static int finetune_load(struct training *t, const struct options *options)
{
	struct rng rng = { .state = options->seed };
	int r;

	if (!options->base || !options->data || !options->out)
		return refuse("finetune needs --base, --data and --out");
	r = model_load(&t->model, options->base);
	if (r < 0)
		return r;
	r = data_load(&t->data, options->data);
	if (r < 0)
		return r;
	if (mkdir(options->out, 0755) < 0 && errno != EEXIST)
		return refuse("--out %s: cannot make the folder: %s", options->out,
			      strerror(errno));
	r = adapter_new(&t->adapter, (uint32_t)options->rank, (float)options->alpha, &rng);
	if (r < 0)
		return r;
	set_recipe(t, options);
	return run_init(&t->run, t->adapter.values, t->adapter.count, rng_next(&rng));
}

/* Goes on from the checkpoint where the caller says that there is one. */
static int finetune_resume(struct training *t)
{
	const char *resume = getenv("GPUVF_RESUME"), *dir = getenv("GPUVF_CHECKPOINT_DIR");

	if (!resume || strcmp(resume, "1") != 0)
		return 0;
	if (!dir || !*dir)
		return refuse("GPUVF_RESUME is 1 but GPUVF_CHECKPOINT_DIR names no folder");
	return run_resume(&t->run, &t->recipe, dir);
}

/* Between two steps after SIGTERM. */
static int finetune_stop(struct training *t)
{
	const char *dir = getenv("GPUVF_CHECKPOINT_DIR");
	int r;

	if (!dir || !*dir) {
		fprintf(stderr, "tiny-lora: stopped at step %u; no GPUVF_CHECKPOINT_DIR, nothing "
			"kept\n", t->run.step);
		return 1;
	}
	r = run_save_checkpoint(&t->run, &t->recipe, dir);
	if (r < 0)
		return r;
	r = report_line(&t->report, "{\"event\":\"checkpoint\",\"step\":%u,\"total\":%u}",
			t->run.step, t->recipe.steps);
	return r < 0 ? r : 1;
}

static int write_config(const struct training *t, const char *path)
{
	char text[512];
	int len;

	len = snprintf(text, sizeof(text),
		       "{\n  \"peft_type\": \"LORA\",\n  \"r\": %u,\n  \"lora_alpha\": %g,\n"
		       "  \"target_modules\": [\"hidden1\", \"hidden2\"],\n"
		       "  \"base_checksum\": \"%016" PRIx64 "\",\n  \"steps\": %u,\n"
		       "  \"batch\": %u,\n  \"lr\": %g,\n  \"weight_decay\": %g,\n"
		       "  \"seed\": %" PRIu64 "\n}\n",
		       t->recipe.rank, t->recipe.alpha, t->recipe.base_sum, t->recipe.steps,
		       t->recipe.batch, t->recipe.rate, t->recipe.decay, t->recipe.seed);
	return file_write(path, text, (size_t)len);
}

static int finetune_save(const struct training *t, const char *dir)
{
	char path[4096];
	int r;

	if (snprintf(path, sizeof(path), "%s/adapter.bin", dir) >= (int)sizeof(path))
		return refuse("--out %s: the path is too long", dir);
	r = adapter_save(&t->adapter, path, &t->model);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "%s/config.json", dir);
	return write_config(t, path);
}

/* What the job was given, for the log: this program computes on the processor. */
static const char *device_name(void)
{
	const char *name = getenv("GPUVF_DEVICE");

	if (!name || !*name)
		return "none";
	for (const char *p = name; *p; p++)
		if (*p < ' ' || *p > '~' || *p == '"' || *p == '\\')
			return "unprintable";
	return name;
}

static int finetune(struct training *t, const struct options *options)
{
	double base_accuracy, accuracy;
	int r;

	r = finetune_load(t, options);
	if (r < 0)
		return r;
	r = finetune_resume(t);
	if (r < 0)
		return r;
	r = report_open(&t->report);
	if (r < 0)
		return r;
	r = report_line(&t->report, "{\"event\":\"start\",\"device\":\"%s\",\"from_step\":%u,"
			"\"frozen\":%zu,\"trainable\":%zu}", device_name(), t->run.step,
			t->model.count, t->adapter.count);
	if (r < 0)
		return r;
	r = train(t);
	if (r != 0)
		return r < 0 ? r : finetune_stop(t);
	if (model_sum(&t->model) != t->recipe.base_sum) {
		fputs("tiny-lora: the frozen weights changed in memory: nothing written\n", stderr);
		return -EIO;
	}
	base_accuracy = model_accuracy(&t->model, NULL, &t->data, t->data.train, t->data.rows);
	accuracy = model_accuracy(&t->model, &t->adapter, &t->data, t->data.train, t->data.rows);
	r = finetune_save(t, options->out);
	if (r < 0)
		return r;
	return report_line(&t->report, "{\"event\":\"done\",\"base_accuracy\":%.4f,"
			   "\"accuracy\":%.4f,\"held_out\":%u,\"base_unchanged\":true}",
			   base_accuracy, accuracy, t->data.rows - t->data.train);
}

/* ---- eval --------------------------------------------------------------------- */

static int eval(struct training *t, const struct options *options)
{
	int r;

	if (!options->base || !options->data)
		return refuse("eval needs --base and --data");
	r = model_load(&t->model, options->base);
	if (r < 0)
		return r;
	r = data_load(&t->data, options->data);
	if (r < 0)
		return r;
	if (options->adapter) {
		r = adapter_load(&t->adapter, options->adapter, &t->model);
		if (r < 0)
			return r;
	}
	return report_line(&t->report, "{\"accuracy\":%.4f,\"held_out\":%u}",
			   model_accuracy(&t->model, t->adapter.values ? &t->adapter : NULL,
					  &t->data, t->data.train, t->data.rows),
			   t->data.rows - t->data.train);
}

static const struct command {
	const char *name;
	int (*run)(struct training *t, const struct options *options);
} commands[] = {
	{ "finetune", finetune },
	{ "eval", eval },
	{ "pretrain", pretrain },
};

static int dispatch(const char *name, int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		struct training training = { 0 };
		struct options options;
		int r;

		if (strcmp(commands[i].name, name) != 0)
			continue;
		r = options_parse(&options, argc, argv);
		if (r == 0)
			r = commands[i].run(&training, &options);
		training_done(&training);
		return r;
	}
	return refuse("%s: no such command (finetune, eval, pretrain, help)", name);
}

int main(int argc, char **argv)
{
	int r;

	if (argc < 2) {
		fputs(usage, stderr);
		return EXIT_REFUSED;
	}
	if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0)
		return fputs(usage, stdout) < 0 || fflush(stdout) != 0;
	r = catch_sigterm();
	if (r == 0)
		r = dispatch(argv[1], argc - 2, argv + 2);
	if (r == -ENOMEM)
		fputs("tiny-lora: not enough memory\n", stderr);
	return r == 0 ? 0 : r > 0 ? EXIT_STOPPED : r == -EINVAL ? EXIT_REFUSED : EXIT_FAILURE;
}
