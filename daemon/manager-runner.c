/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a job's runner is told: command, files, environment and limits, by the job's document, its VM's rule and the
 * configuration. */
#include <signal.h>

#include "manager-state.h"
#include "runner/runner.h"

static json_t *gpuvf_env(struct manager *m, const struct job *job)
{
	struct vf *vf = vf_find(m, job->vf_name);
	const struct vf_facts *facts = vf ? vf_facts_of(vf) : NULL;
	json_t *env = json_object();

	if (vf)
		json_put_string(env, "GPUVF_VF", vf->name);
	if (facts && facts->values[VF_ATTR_VRAM].known) {
		char buf[24];

		snprintf(buf, sizeof(buf), "%llu", (unsigned long long)facts->values[VF_ATTR_VRAM].value);
		json_put_string(env, "GPUVF_VRAM_BYTES", buf);
	}
	return env;
}

unsigned vfs_in_vm(struct manager *m, const char *uuid)
{
	struct gpu *gpu, *tmp;
	unsigned n = 0;

	HASH_ITER(hh, m->gpus, gpu, tmp)
		for (size_t i = 0; i < gpu->n_vfs; i++)
			n += gpu->vfs[i]->state == VF_ATTACHED && streq(gpu->vfs[i]->lease.vm_uuid, uuid);
	return n;
}

void vm_has_fewer_vfs(struct manager *m, const char *uuid)
{
	struct job *job, *tmp;

	HASH_ITER(hh, m->jobs, job, tmp)
		if (job->runner && streq(job->vm_uuid, uuid))
			runner_set_devices(job->runner, MAX_OF(vfs_in_vm(m, uuid), 1u));
}

static int signal_number(const char *name)
{
	if (!name)
		return 0;
	for (int n = 1; n < 32; n++)
		if (sigabbrev_np(n) && streq(sigabbrev_np(n), strncmp(name, "SIG", 3) == 0 ? name + 3 : name))
			return n;
	return 0;
}

static struct runner_file *runner_files(struct manager *m, const struct job *job)
{
	const struct job_document *d = job->document;
	struct runner_file *files = calloc(d->n_files + 1, sizeof(*files));

	for (size_t i = 0; files && i < d->n_files; i++)
		files[i] = (struct runner_file){
			.source = xasprintf("%s/jobs/%s/in/%zu", m->state_dir, job->name, i),
			.target = d->files[i].to,
			.mode = d->files[i].mode,
		};
	return files;
}

static void runner_files_free(struct runner_file *files, size_t n)
{
	for (size_t i = 0; files && i < n; i++)
		free((char *)files[i].source);
	free(files);
}

static uint64_t config_bytes(struct manager *m, const char *section, const char *name)
{
	return json_get_uint(json_object_get(m->config, section), name, 0);
}

/* The rule of the VM in which its attempt is; NULL = there is none any more. */
static const struct policy_vm_rule *rule_of(struct manager *m, const struct job *job)
{
	const struct vm *vm = vm_find_uuid(m, job->vm_uuid);

	return vm ? policy_match_vm(m->policy, vm->facts->name) : NULL;
}

bool rule_is_open_to(const struct policy_vm_rule *rule, const struct job *job)
{
	return rule && rule->run_as && principals_allow(rule->allow, rule->n_allow, job->uid, job->gids, job->n_gids);
}

bool job_may_begin(struct manager *m, const struct job *job)
{
	const struct policy_vm_rule *rule = rule_of(m, job);
	const char *run_as = json_get_string(job_attempt(job), "run_as");

	return rule_is_open_to(rule, job) && (!run_as || streq(run_as, rule->run_as));
}

uint64_t job_ran(const struct job *job)
{
	const json_t *began = json_object_get(job_attempt(job), "started_boot");
	uint64_t at = json_get_uint(began, "boot", 0), now = now_boottime();

	return began && expiry_is_of_this_boot(began) && now > at ? now - at : 0;
}

/* Of its time limit.  Rows of earlier versions tell of the date only. */
static uint64_t elapsed(const struct job *job)
{
	uint64_t began = json_get_uint(job_attempt(job), "started_usec", 0), now = now_realtime();

	if (expiry_is_of_this_boot(json_object_get(job_attempt(job), "started_boot")))
		return job_ran(job);
	return began && now > began ? now - began : 0;
}

int job_runner_new(struct manager *m, struct job *job, bool was_started, bool inherited, char **ret_message)
{
	const struct job_document *d = job->document;
	const struct vm *vm = vm_find_uuid(m, job->vm_uuid);
	const struct policy_vm_rule *rule = rule_of(m, job);
	/* What runs does so by the rule that placed it, whatever became of that; earlier versions did not note it. */
	const char *run_as = json_get_string(job_attempt(job), "run_as");
	_cleanup_free_ char *key = xasprintf("%s.%u-%s", job->name, job->attempt, m->instance);
	_cleanup_free_ char *job_key = xasprintf("%s-%s", job->name, m->instance);
	_cleanup_close_ int dir = d->session ? -1 : job_attempt_dir(m, job, job->attempt, true);
	_cleanup_json_ json_t *env = gpuvf_env(m, job);
	struct runner_file *files = runner_files(m, job);
	struct runner_options o = {
		.event = m->event, .hypervisor = m->hypervisor, .vm_uuid = job->vm_uuid,
		.guest_root = vm ? strempty(vm->facts->guest_root) : "",
		.attempt_key = key, .job_key = job_key, .job_id = job->name, .attempt = job->attempt,
		.session = d->session, .run_as = run_as ? run_as : rule ? rule->run_as : NULL,
		.command = d->command, .shell = d->shell,
		.setup = d->setup, .env = d->env, .gpuvf_env = env, .workdir = d->workdir,
		.files = files, .n_files = d->n_files, .outputs = d->outputs,
		.ready = rule ? rule->ready : NULL, .vendor_id = 0x8086,
		/* never none where one is wanted: it would run without */
		.devices = d->vfs ? MAX_OF(vfs_in_vm(m, job->vm_uuid), 1u) : 0,
		.time_limit_usec = job->time_limit,
		.elapsed_usec = elapsed(job),
		.checkpoint_signal = signal_number(d->checkpoint_signal),
		.grace_usec = d->checkpoint_grace_usec,
		.ready_timeout_usec = config_bytes(m, "deadlines", "guest_ready_usec"),
		.silence_usec = config_bytes(m, "deadlines", "agent_silence_usec"),
		.directory = dir, .output_max = config_bytes(m, "retention", "output_per_attempt"),
		.was_started = was_started, .inherited = inherited, .boot_id = json_get_string(job_attempt(job), "boot_id"),
		.callbacks = job_runner_callbacks,
		.userdata = job,
	};
	int r = dir < 0 && !d->session ? dir : files ? runner_new(&o, &job->runner, ret_message) : -ENOMEM;

	runner_files_free(files, d->n_files);
	return r;
}
