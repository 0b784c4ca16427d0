#!/usr/bin/env bash
# Usage: [GPUS=8] [GPUS_PER_NODE=8] [CPUS_PER_TASK=5] [SRUN_ARGS=...] \
#        tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [train.py options]
set -euxo pipefail

HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
USAGE="usage: $0 PARTITION JOB_NAME CONFIG WORK_DIR [train.py options]"
PARTITION=${1:?"$USAGE"}
JOB_NAME=${2:?"$USAGE"}
CONFIG=${3:?"$USAGE"}
TARGET=${4:?"$USAGE"}
source "$HERE/python.sh"
read -ra EXTRA <<< "${SRUN_ARGS:-}"

PYTHONPATH="$HERE/..${PYTHONPATH:+:$PYTHONPATH}" \
srun -p "$PARTITION" \
    --job-name="$JOB_NAME" \
    --gres=gpu:"${GPUS_PER_NODE:-8}" \
    --ntasks="${GPUS:-8}" \
    --ntasks-per-node="${GPUS_PER_NODE:-8}" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 \
    "${EXTRA[@]}" \
    "$PYTHON" -u "$HERE/train.py" "$CONFIG" --work-dir="$TARGET" --launcher slurm "${@:5}"
