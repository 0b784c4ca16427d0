#!/usr/bin/env bash
# Set up the environment, check the style and run the tests.
#
#   bash tools/test.sh [--slow] [pytest arguments]
#
# --slow runs the full-size and long checks too. The variables of tools/setup_env.sh apply.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tools/setup_env.sh

selection=(-m 'not slow')
arguments=()
for argument in "$@"; do
    if [ "$argument" = --slow ]; then selection=(); else arguments+=("$argument"); fi
done

status=0
"$RAZOR_PYTHON" -m ruff check . || status=1
# One thread a process: the tests start processes of their own.
OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" "$RAZOR_PYTHON" -m pytest \
    ${selection[@]+"${selection[@]}"} ${arguments[@]+"${arguments[@]}"} || status=1
exit "$status"
