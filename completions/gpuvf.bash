# SPDX-License-Identifier: GPL-2.0-or-later
# bash completion for gpuvf.  Verbs and options are a table here; names of GPUs,
# VFs, VMs and jobs are asked from the daemon, and left out when it is silent.

# verb -> its options.  A verb without options has an empty entry.
declare -gA _gpuvf_options=(
	[list]=""
	[show]=""
	[status]=""
	[doctor]="--bundle --force"
	[plan]="--vfs --vram --profile --quantum --preempt-timeout --ggtt --contexts --doorbells
		--priority --defaults --scheduler --slices --layout --file --all"
	[apply]="--vfs --vram --profile --quantum --preempt-timeout --ggtt --contexts --doorbells
		--priority --defaults --scheduler --slices --layout --file --all
		--plan --policy --drain --yes-display --wait"
	[assert]="--all"
	[export]=""
	[drain]="--wait"
	[undrain]=""
	[tune]="--quantum --preempt-timeout --priority --vram"
	[reset]="--wait"
	[assign]="--vf --gpu --profile --vram --add --live --config --both --for --wait"
	[release]="--all --live --config --both --force --yes-power-off --if-epoch --wait"
	[heal]=""
	[submit]="--name --queue --vm --vms --profile --vram --time --priority --env --env-file --workdir
		--file --output --hold --retries --request-id --follow --wait --dry-run"
	[session]="--name --queue --vm --vms --profile --vram --priority --hold --time --request-id --wait --dry-run"
	[extend]=""
	[jobs]="--all-users --ended --all --since --queue --state --limit"
	[wait]="--for --timeout --exit-code"
	[logs]="--follow --stderr --attempt --raw"
	[fetch]="--force --attempt"
	[cancel]=""
	[hold]=""
	[unhold]=""
	[policy]=""
	[watch]="--since --types --audit --progress"
	[audit]="--since --until --user --method --subject --limit"
	[call]=""
	[completion]=""
	[help]=""
	[version]=""
)

# verb -> what its words are: kinds of names, files, or words themselves.
declare -gA _gpuvf_words=(
	[list]="=gpus =vfs =vms =queues =profiles"
	[show]="gpus vfs vms jobs"
	[doctor]="gpus vms"
	[plan]="gpus"
	[apply]="gpus"
	[assert]="gpus"
	[export]="gpus"
	[drain]="gpus"
	[undrain]="gpus"
	[tune]="vfs gpus"
	[reset]="vfs"
	[assign]="vms"
	[release]="vms vfs"
	[heal]="vms vfs"
	[submit]="files"
	[extend]="jobs"
	[wait]="jobs"
	[logs]="jobs"
	[fetch]="jobs files"
	[cancel]="jobs"
	[hold]="jobs"
	[unhold]="jobs"
	[policy]="=check =show =reload files"
	[watch]="jobs"
	[audit]=""
	[call]=""
	[completion]="=bash"
	[help]="verbs"
)

# option -> kind of its value; options that are not here take none.
declare -gA _gpuvf_values=(
	[--socket]=files [-o]="=table =wide =json =ndjson" [--format]="=table =wide =json =ndjson"
	[--vfs]="" [--vram]="" [--slices]="" [--plan]="" [--wait]="" [--time]="" [--priority]=""
	[--name]="" [--vms]="" [--env]="" [--output]="" [--retries]="" [--request-id]=""
	[--limit]="" [--timeout]="" [--attempt]="" [--since]="" [--types]="" [--workdir]=""
	[--until]="" [--user]="" [--method]="" [--subject]="" [--if-epoch]=""
	[--ggtt]="" [--contexts]="" [--doorbells]=""
	[--scheduler]="=flexible-30fps =fixed-30fps =burstable"
	[--quantum]="" [--preempt-timeout]="" [--layout]=""
	[--profile]=profiles [--queue]=queues [--file]=files [--env-file]=files
	[--bundle]=files
	[--vf]=vfs [--gpu]=gpus [--vm]=vms
	[--state]="=held =queued =starting =waiting-guest =running =unreachable =stopping =ended"
	[--for]="=held =queued =starting =waiting-guest =running =unreachable =stopping =ended"
)

_gpuvf_names() {	# KIND... : one candidate a line
	local kind

	for kind; do
		case $kind in
		=*) printf '%s\n' "${kind#=}" ;;
		verbs) printf '%s\n' "${!_gpuvf_options[@]}" ;;
		jobs) gpuvf -q jobs --all 2>/dev/null ;;
		files) ;;
		*) gpuvf -q list "$kind" 2>/dev/null ;;
		esac
	done
}

_gpuvf_reply() {	# KINDS CURRENT
	local kinds=$1 current=$2 name

	COMPREPLY=()
	# shellcheck disable=SC2086	# kinds are words
	while IFS= read -r name; do
		[[ $name == "$current"* ]] && COMPREPLY+=("$name")
	done < <(_gpuvf_names $kinds)
	[[ " $kinds " == *" files "* ]] && compopt -o default 2>/dev/null
	return 0
}

_gpuvf() {
	local current previous verb="" i

	# Read by words, so that names such as 0000:03:00.0 stay whole.
	if declare -F _get_comp_words_by_ref >/dev/null; then
		local words cword
		_get_comp_words_by_ref -n : -w words -i cword
	else
		local words=("${COMP_WORDS[@]}") cword=$COMP_CWORD
	fi
	current=${words[cword]} previous=${words[cword - 1]}
	for ((i = 1; i < cword; i++)); do
		case ${words[i]} in
		--socket | -o | --format) ((i++)) ;;
		-*) ;;
		*) verb=${words[i]}; break ;;
		esac
	done

	# The value of the option before, when it takes one; -f and -q do not.
	if [[ $previous == -* && -n ${_gpuvf_values[$previous]+set} &&
		! ($verb =~ ^(submit|session)$ && $previous == --wait) ]]; then
		_gpuvf_reply "${_gpuvf_values[$previous]}" "$current"
	elif [[ -z $verb && $current == -* ]]; then
		_gpuvf_reply "=--socket =-o =--format =-q =--quiet =--no-color =--utc =--help =--version" "$current"
	elif [[ -z $verb ]]; then
		_gpuvf_reply verbs "$current"
	elif [[ $current == -* ]]; then
		# shellcheck disable=SC2086,SC2046	# a table of words
		_gpuvf_reply "$(printf '=%s ' ${_gpuvf_options[$verb]-})" "$current"
	else
		_gpuvf_reply "${_gpuvf_words[$verb]-}" "$current"
	fi
	declare -F __ltrim_colon_completions >/dev/null && __ltrim_colon_completions "$current"
	return 0
}

complete -F _gpuvf gpuvf
