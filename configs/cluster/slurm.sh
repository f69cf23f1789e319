#!/usr/bin/env bash
#SBATCH --job-name=lt_lightning
#SBATCH --array=0-2             # presets × seeds - 1; %4 behind it lets four run at once
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1     # one per GPU: Lightning takes each task for a process
#SBATCH --gpus-per-node=1       # as many as tasks; of --gpus-per-task each task would see one, which Lightning refuses
#SBATCH --cpus-per-task=8
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --signal=SIGUSR1@120    # two minutes before the end: Lightning saves, and puts the job back in the queue
#SBATCH --output=logs/%x_%A_%a.out
#
# Each preset with each seed, one task of the array each:
#
#   mkdir -p logs
#   PRESETS="cifar100_lt/stage1/ce cifar100_lt/stage1/ldam_drw" SEEDS="0 1 2" sbatch --array=0-5 \
#       configs/cluster/slurm.sh --data.root data
#
# Options behind the script go to every run. A task that was put back, or is submitted again under the same NAME, goes on
# from its last checkpoint; one that has finished ends at once. Under a NAME that is there an array may leave tasks out.
set -euo pipefail

PRESETS=${PRESETS:-cifar100_lt/stage1/ce}
SEEDS=${SEEDS:-0 1 2}
COMMAND=${COMMAND:-fit}         # fit, which tests too; test, for a method with nothing to train; pipeline
SUBSET=${SUBSET:-}              # 1 if the array is to leave runs out
RUNS=${RUNS:-runs}              # on a file system that all nodes share
NAME=${NAME:-${SLURM_ARRAY_JOB_ID:-0}}
TASK=${SLURM_ARRAY_TASK_ID:-0}

fail() {
    echo "slurm.sh: error: $*" >&2
    exit 2
}
# A preset's name, or a file's path without what leads out of the folder of runs.
name_of() {
    local name=${1%.yaml}
    name=${name%.yml}
    name=${name//..\//}
    name=${name//.\//}
    echo "${name#/}"
}

read -ra presets <<<"$PRESETS"
read -ra seeds <<<"$SEEDS"
twice=$(printf '%s\n' "${presets[@]}" "${seeds[@]/#/seed }" | sort | uniq -d)
if [[ -n $twice ]]; then
    fail "\`PRESETS\` or \`SEEDS\` names ${twice//$'\n'/, } twice, and both runs would share a folder; remove one."
fi
number=$((${#presets[@]} * ${#seeds[@]}))
runs="${#presets[@]} presets × ${#seeds[@]} seeds are tasks 0 to $((number - 1))"
if ((TASK >= number)); then
    fail "task $TASK of the array has nothing to do: $runs; give \`--array=0-$((number - 1))\`."
fi
if [[ -z $SUBSET ]] && ((${SLURM_ARRAY_TASK_COUNT:-number} < number)); then
    few="$runs, but the array has only $SLURM_ARRAY_TASK_COUNT of them"
    if [[ ! -d $RUNS/$NAME ]]; then
        fail "$few; give \`--array=0-$((number - 1))\`, or SUBSET=1 if the others are to be left out."
    fi
    echo "$few; the others in $RUNS/$NAME are left as they are"
fi
if [[ $COMMAND != fit && $COMMAND != test && $COMMAND != pipeline ]]; then
    fail "\`COMMAND\` is '$COMMAND', but must be fit, test or pipeline."
fi
preset=${presets[TASK / ${#seeds[@]}]}
seed=${seeds[TASK % ${#seeds[@]}]}
for other in "${presets[@]}"; do
    if [[ $other != "$preset" && $(name_of "$other") == "$(name_of "$preset")" ]]; then
        fail "\`PRESETS\` '$preset' and '$other' would share the folder $(name_of "$preset"); rename one of them."
    fi
done
folder=$RUNS/$NAME/$(name_of "$preset")/seed_$seed

if [[ -f $folder/done ]]; then
    echo "$folder is done"
    exit
fi
mkdir -p "$folder"
# The newest file of a name below the run's folder, as deep as other options say.
newest() {
    find "$folder" "${@:2}" -name "$1" -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d' ' -f2-
}

launch=()
devices=()
if [[ -n ${SLURM_CPUS_PER_TASK:-} ]]; then
    export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK
fi
if [[ -n ${SLURM_JOB_ID:-} ]]; then
    # srun no longer takes the number of CPUs from the job (since Slurm 22.05); without it a task would have one.
    launch=(srun --kill-on-bad-exit=1 --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}")
    devices=(--trainer.num_nodes="${SLURM_NNODES:-1}" --trainer.devices="${SLURM_NTASKS_PER_NODE:-1}")
fi
run() {
    ${launch[@]+"${launch[@]}"} lt-lightning "$@" ${devices[@]+"${devices[@]}"}
}
settings=(-c "$preset" --seed_everything="$seed")
case $COMMAND in
fit)
    # What Lightning saves when it is told to end is newer than the last epoch's checkpoint.
    begun=$(newest '*.ckpt')
    run fit "${settings[@]}" --trainer.default_root_dir="$folder" "$@" ${begun:+--ckpt_path="$begun"}
    run test "${settings[@]}" --trainer.default_root_dir="$folder" "$@" --ckpt_path="$(newest last.ckpt)"
    ;;
test)
    run test "${settings[@]}" --trainer.default_root_dir="$folder" "$@"
    ;;
pipeline)
    begun=$(newest unfinished.json)
    # One that was ended between its table and `done` prints the table again; a stage's results lie deeper.
    begun=${begun:-$(newest results.json -maxdepth 2)}
    if [[ -n $begun ]]; then
        run pipeline --resume="${begun%/*}" "$@"
    else
        run pipeline "${settings[@]}" --output="$folder" "$@"
    fi
    ;;
esac
touch "$folder/done"
