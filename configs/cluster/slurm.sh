#!/usr/bin/env bash
#SBATCH --job-name=lt_lightning
#SBATCH --array=0-5             # presets × seeds - 1; %4 behind it lets four run at once
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1     # one per GPU: Lightning takes each task for a process
#SBATCH --gpus-per-task=1
#SBATCH --cpus-per-task=8
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --signal=SIGUSR1@120    # two minutes before the end: Lightning saves, and puts the job back in the queue
#SBATCH --output=logs/%x_%A_%a.out
#
# Each preset with each seed, one task of the array each:
#
#   mkdir -p logs
#   PRESETS="cifar100_lt/stage1/ce cifar100_lt/stage1/ldam_drw" SEEDS="0 1 2" sbatch configs/cluster/slurm.sh --data.root data
#
# Options behind the script go to every run. A task that was put back, or is submitted again under the same NAME, goes on
# from its last checkpoint; one that has finished ends at once.
set -euo pipefail

PRESETS=${PRESETS:-cifar100_lt/stage1/ce}
SEEDS=${SEEDS:-0 1 2}
RUNS=${RUNS:-runs}              # on a file system that all nodes share
NAME=${NAME:-${SLURM_ARRAY_JOB_ID:-0}}
TASK=${SLURM_ARRAY_TASK_ID:-0}

read -ra presets <<<"$PRESETS"
read -ra seeds <<<"$SEEDS"
number=$((${#presets[@]} * ${#seeds[@]}))
if ((TASK >= number)); then
    echo "slurm.sh: error: task $TASK of the array has nothing to do: ${#presets[@]} presets × ${#seeds[@]} seeds are" \
        "tasks 0 to $((number - 1)); give \`--array=0-$((number - 1))\`." >&2
    exit 2
fi
preset=${presets[TASK / ${#seeds[@]}]}
seed=${seeds[TASK % ${#seeds[@]}]}
folder=$RUNS/$NAME/$preset/seed_$seed

if [[ -f $folder/done ]]; then
    echo "$folder is done"
    exit
fi
mkdir -p "$folder"
# What Lightning saves when it is told to end is newer than the last epoch's checkpoint.
newest=$(find "$folder" -name '*.ckpt' -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d' ' -f2-)

export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}
launch=()
devices=()
if [[ -n ${SLURM_JOB_ID:-} ]]; then
    launch=(srun --kill-on-bad-exit=1)
    devices=(--trainer.num_nodes="${SLURM_NNODES:-1}" --trainer.devices="${SLURM_NTASKS_PER_NODE:-1}")
fi
run() {
    local command=$1
    shift
    ${launch[@]+"${launch[@]}"} lt-lightning "$command" -c "$preset" --seed_everything="$seed" \
        --trainer.default_root_dir="$folder" "$@" ${devices[@]+"${devices[@]}"}
}
run fit "$@" ${newest:+--ckpt_path="$newest"}
last=$(find "$folder" -name last.ckpt -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d' ' -f2-)
run test "$@" --ckpt_path="$last"
touch "$folder/done"
