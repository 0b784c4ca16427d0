#!/usr/bin/env bash
# The whole pipeline on embedded data: train, prune, finetune, test, deploy, and one table.
#
#   bash tools/demo.sh         RTMPose on synthetic people, pruned by GroupFisher
#   bash tools/demo.sh gait    GaitBase on walking silhouettes
#
# Results stay in work_dirs/. The variables of tools/setup_env.sh apply.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tools/setup_env.sh
# One thread trains and one prepares the data: on two cores more threads wait for each other.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
STARTED=$SECONDS

case "${1:-pose}" in
    pose) ;;
    gait) exec bash tools/gait/demo.sh ;;
    *) echo "demo: unknown part '$1', use pose or gait" >&2; exit 2 ;;
esac

MODEL=rtmpose-demo_synthetic-128x96
PRUNING=configs/pruning/rtmpose
DENSE=work_dirs/$MODEL
PRUNED=work_dirs/group_fisher_finetune_$MODEL
LOGS=work_dirs/demo_logs
mkdir -p "$LOGS"

step() {
    # step TITLE LOG COMMAND...: the log's progress lines are shown, all of it is kept.
    local title="$1" log="$LOGS/$2.log" began=$SECONDS
    shift 2
    printf '\n[demo %4ds] %s\n' $((SECONDS - STARTED)) "$title"
    if ! "$@" 2>&1 | tee "$log" | grep --line-buffered -E \
        'Epoch\((train|val|test)\)|sparsity [0-9]|rendering|the sliced model|results are in'; then
        if [ "${PIPESTATUS[0]}" -ne 0 ]; then
            tail -n 25 "$log" >&2
            echo "[demo] \"$title\" failed; the whole log is $log" >&2
            exit 1
        fi
    fi
    printf '[demo] %s: %d s\n' "$title" $((SECONDS - began))
}

step 'train a small RTMPose' train \
    "$RAZOR_PYTHON" tools/train.py "configs/pose/$MODEL.py"
step 'test it' test_dense \
    "$RAZOR_PYTHON" tools/test.py "configs/pose/$MODEL.py" "$(cat "$DENSE/last_checkpoint")" \
    --out "$DENSE/metrics.json"
step 'prune it to half its MACs' prune \
    "$RAZOR_PYTHON" tools/train.py "$PRUNING/group_fisher_prune_$MODEL.py" \
    --cfg-options "model.checkpoint=$(cat "$DENSE/last_checkpoint")"
step 'finetune' finetune \
    "$RAZOR_PYTHON" tools/train.py "$PRUNING/group_fisher_finetune_$MODEL.py"
step 'test the pruned model' test_pruned \
    "$RAZOR_PYTHON" tools/test.py "$PRUNING/group_fisher_finetune_$MODEL.py" \
    "$(cat "$PRUNED/last_checkpoint")" --out "$PRUNED/metrics.json"

images=(data/people/val-*/images/*.jpg)
IMAGE=${images[0]}
DEPLOY_CFG=configs/deploy/pose_simcc_onnxruntime_static-128x96.py
step 'deploy the dense model' deploy_dense \
    "$RAZOR_PYTHON" tools/deploy.py "$DEPLOY_CFG" "configs/pose/$MODEL.py" \
    "$(cat "$DENSE/last_checkpoint")" "$IMAGE" --work-dir "$DENSE/deploy"
step 'deploy the pruned model' deploy_pruned \
    "$RAZOR_PYTHON" tools/deploy.py "$DEPLOY_CFG" "$PRUNED/compressed" "$IMAGE" \
    --work-dir "$PRUNED/deploy"

printf '\n[demo %4ds] before and after\n' $((SECONDS - STARTED))
"$RAZOR_PYTHON" tools/analysis/compare.py \
    --stage dense "$DENSE/deploy" "$DENSE/metrics.json" \
    --stage pruned "$PRUNED/deploy" "$PRUNED/metrics.json" 2>/dev/null
