#!/usr/bin/env bash
# One command on embedded data: a dense model, and what GETA and GroupFisher make of it.
#
#   bash tools/demo.sh         RTMPose on synthetic people
#   bash tools/demo.sh gait    GaitBase on walking silhouettes
#
# GETA prunes and quantizes to integers, GroupFisher prunes in floats; the two run side by side, a
# core each. Given again, the command goes on where it was ended. Results stay in
# work_dirs/demo_PART. The variables of tools/setup_env.sh apply.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
PART="${1:-pose}"
case "$PART" in
    pose)
        METRICS=coco/AP
        CONFIG=configs/pose/rtmpose-demo-wide_synthetic-128x96.py
        GETA=(--epochs 5 --finetune-epochs 3 --divisor 16)
        GROUP_FISHER=(--epochs 2 --finetune-epochs 3 --divisor 16) ;;
    gait)
        METRICS='gait/NM gait/BG gait/CL'
        CONFIG=configs/gait/gaitbase/gaitbase-wide_demo-64x44.py
        GETA=(--iters 250 --finetune-iters 150 --divisor 16 --lr-ratio 0.2)
        GROUP_FISHER=(--iters 150 --finetune-iters 150 --divisor 16 --lr-ratio 0.1) ;;
    *) echo "demo: unknown part '$PART', use pose or gait" >&2; exit 2 ;;
esac
source tools/setup_env.sh
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
# One thread trains and one prepares the data: on two cores more threads wait for each other.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
WORK="work_dirs/demo_$PART"
NAME=$(basename "$CONFIG" .py)
GETA_DIR="$WORK/geta_$NAME"
GROUP_FISHER_DIR="$WORK/group_fisher_$NAME"
mkdir -p "$WORK"

say() { printf '\n[demo %4ds] %s\n' "$SECONDS" "$1"; }

shown() {
    # shown LOG COMMAND...: the lines of progress are shown, all of them are kept.
    local log="$1"
    shift
    if "$@" 2>&1 | tee "$log" | grep --line-buffered -E \
        '(Epoch|Iter)\((train|val)\)|[Rr]endering|scenes,|walkers'; then return; fi
    if [ "${PIPESTATUS[0]}" -ne 0 ]; then
        tail -n 25 "$log" >&2
        echo "[demo] this has failed; the whole log is $log" >&2
        exit 1
    fi
}

compress() {
    # compress METHOD OPTION...: every line begins with the method; a core for itself.
    local method="$1"
    shift
    "$RAZOR_PYTHON" tools/compress.py "$CONFIG" "$(cat "$WORK/dense/last_checkpoint")" \
        --method "$method" --target macs=0.5 --work-dir "$WORK/${method}_$NAME" "$@" 2>&1 \
        | sed -u "s/^/$method: /"
}

say 'train the dense model'
if [ ! -f "$WORK/dense/done" ]; then
    shown "$WORK/dense.log" "$RAZOR_PYTHON" tools/train.py "$CONFIG" --work-dir "$WORK/dense" --resume
    touch "$WORK/dense/done"
fi

say 'compress it to half of the MACs, by GETA to integers of 4 to 8 bits, by GroupFisher in floats'
compress geta --bits 4-8 "${GETA[@]}" & first=$!
compress group_fisher "${GROUP_FISHER[@]}" & second=$!
status=0
wait "$first" || status=$?
wait "$second" || status=$?
[ "$status" -eq 0 ] || { echo '[demo] a compression has failed: its lines above say why' >&2; exit 1; }

say 'before and after'
"$RAZOR_PYTHON" tools/analysis/compare.py \
    --stage dense "$GETA_DIR/dense/deploy" "$GETA_DIR/dense/metrics.json" \
    --stage 'GETA, integers' "$GETA_DIR/deploy" "$GETA_DIR/metrics.json" \
    --stage 'GroupFisher, floats' "$GROUP_FISHER_DIR/deploy" "$GROUP_FISHER_DIR/metrics.json" \
    --metric $METRICS
echo 'The compressed models were trained longer than the dense one: their own runs come on top.'
echo "the report is $GETA_DIR/report.html (and $GROUP_FISHER_DIR/report.html)"
