#!/usr/bin/env bash
# Usage: tools/dist_test.sh CONFIG CHECKPOINT GPUS [test.py options]
# Without a CUDA device, GPUS processes test on the CPU.
# More machines: NNODES, NODE_RANK, PORT, MASTER_ADDR.
set -euo pipefail

HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
CONFIG=${1:?"usage: $0 CONFIG CHECKPOINT GPUS [test.py options]"}
CHECKPOINT=${2:?"usage: $0 CONFIG CHECKPOINT GPUS [test.py options]"}
GPUS=${3:?"usage: $0 CONFIG CHECKPOINT GPUS [test.py options]"}
source "$HERE/python.sh"

PYTHONPATH="$HERE/..${PYTHONPATH:+:$PYTHONPATH}" \
"$PYTHON" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --nproc_per_node="$GPUS" \
    --master_port="${PORT:-29500}" \
    "$HERE/test.py" "$CONFIG" "$CHECKPOINT" --launcher pytorch "${@:4}"
