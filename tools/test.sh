#!/usr/bin/env bash
# Set up the environment, check style and types, and run the tests.
#
#   bash tools/test.sh [--slow] [pytest arguments]
#
# --slow runs the full-size and long checks too. Files of tests are shared by RAZOR_TEST_PROCESSES
# processes (2; 0 for none but pytest itself). The variables of tools/setup_env.sh apply.
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
# Types are those of the newest torch, and of a Python that the checker still knows.
if [ -z "${RAZOR_TORCH:-}" ] &&
    "$RAZOR_PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
    "$RAZOR_PYTHON" -m mypy || status=1
fi
# One thread a process: the tests start processes of their own.
OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" "$RAZOR_PYTHON" -m pytest \
    -n "${RAZOR_TEST_PROCESSES:-2}" --dist loadfile \
    ${selection[@]+"${selection[@]}"} ${arguments[@]+"${arguments[@]}"} || status=1
exit "$status"
