#!/usr/bin/env bash
# Usage: tools/gait/demo.sh [WORK_DIR]
# Renders synthetic walkers, trains a small GaitBase on them, tests it by CASIA-B's protocols and
# draws silhouettes and rank-1 by view.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source tools/setup_env.sh
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"

WORK=${1:-work_dirs/gaitbase-small_demo-64x44}
CONFIG=configs/gait/gaitbase/gaitbase-small_demo-64x44.py

"$RAZOR_PYTHON" tools/train.py "$CONFIG" --work-dir "$WORK" --no-validate
# training notes its last checkpoint there
"$RAZOR_PYTHON" tools/test.py "$CONFIG" "$(cat "$WORK/last_checkpoint")" \
    --work-dir "$WORK/test" --out "$WORK/metrics.json" \
    --cfg-options test_evaluator.protocols=single_view,cross_view
FIGURES=$(find "$WORK/test" -name rank1_by_view.json -print0 | xargs -0 ls -t | head -n 1)
"$RAZOR_PYTHON" tools/gait/visualize.py strip "$CONFIG" "$WORK/silhouettes.png"
"$RAZOR_PYTHON" tools/gait/visualize.py chart "$FIGURES" "$WORK/rank1_by_view.png"
