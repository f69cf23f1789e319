#!/usr/bin/env bash
# One run on several processes of this machine, or of several machines.
#
#   NPROC=8 configs/cluster/torchrun.sh fit -c cifar100_lt/stage1/ce --data.root data
#   NNODES=2 NPROC=8 HEAD=node01:29500 configs/cluster/torchrun.sh fit -c …       # the same line on both nodes
#
# Batch sizes count the images of a step over all processes, whose number they must be a multiple of. Each process draws its
# own crops and has the batch statistics of its own images (--trainer.sync_batchnorm true joins these on GPUs), so figures
# differ by as much as between seeds.
set -euo pipefail

NPROC=${NPROC:-2}       # processes on each node: its GPUs, or 1 to a few on a CPU
NNODES=${NNODES:-1}
HEAD=${HEAD:-}          # host:port of one of the nodes, when there are several

if ((NNODES > 1)) && [[ -z $HEAD ]]; then
    echo "torchrun.sh: error: \`HEAD\` is not set, but \`NNODES\` is $NNODES; give host:port of one of the nodes." >&2
    exit 2
fi
rendezvous=(--standalone)
if [[ -n $HEAD ]]; then
    rendezvous=(--rdzv-backend=c10d --rdzv-endpoint="$HEAD" --rdzv-id="${RUN_ID:-lt_lightning}")
fi
exec python -m torch.distributed.run --nnodes="$NNODES" --nproc-per-node="$NPROC" "${rendezvous[@]}" \
    -m lt_lightning "$@" \
    --trainer.devices="$NPROC" --trainer.num_nodes="$NNODES" --trainer.strategy=ddp
