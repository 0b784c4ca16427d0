#!/usr/bin/env bash
# Create or reuse the virtual environment of this project. Needs Python and pip, nothing else.
#
#   bash tools/setup_env.sh            set up
#   source tools/setup_env.sh          set up; $RAZOR_PYTHON is then the environment's interpreter
#
# Variables:
#   PYTHON        interpreter to build the environment with (default: python3.11, 3.10, 3.9, 3.12)
#   RAZOR_VENV    folder of the environment (default: .venv in the project root)
#   RAZOR_TORCH   2.1: the oldest supported torch, in .venv-torch21 (default: the newest tested)
#   RAZOR_KEEP_TORCH=1        leave the torch that is already in the environment
#   RAZOR_ALLOW_CPU_TORCH=1   accept a torch that cannot use the machine's GPU
#
# Safe to repeat: a finished environment is recognised by a stamp, an interrupted one is completed.

RAZOR_ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

razor_fail() {
    printf '\n[setup] error: %s\n' "$*" >&2
    return 1
}

razor_find_python() {
    local candidate candidates="${PYTHON:-python3.11 python3.10 python3.9 python3.12 python3 python}"
    for candidate in $candidates; do
        # A command may exist and not run (version managers leave such stubs).
        if "$candidate" -c 'import sys; sys.exit(not (3, 9) <= sys.version_info[:2] <= (3, 12))' \
            2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    razor_fail "no usable Python among: $candidates.
    Python 3.9 to 3.12 is needed: there is no numpy 1.26, which xtcocotools was built for, for newer
    ones. Install one of them and say which by PYTHON=/path/to/python3.11."
}

razor_stamp() {
    # What an environment was made from: the interpreter, the requirements, the packaging, the place.
    (cd "$RAZOR_ROOT" &&
        { "$RAZOR_PYTHON" -V; echo "$RAZOR_ROOT $RAZOR_TORCH_FILE $RAZOR_GPU";
          cat requirements/*.txt setup.py; } | cksum)
}

razor_step() {
    # razor_step TITLE COMMAND...: run quietly, into the log; show the log's end on failure.
    local title="$1" began=$SECONDS
    shift
    printf '[setup] %s ...\n' "$title"
    if ! "$@" >>"$RAZOR_LOG" 2>&1; then
        tail -n 30 "$RAZOR_LOG" >&2
        razor_fail "\"$title\" failed; the whole log is $RAZOR_LOG. Run the command again to go on."
        return 1
    fi
    printf '[setup] %s: %d s\n' "$title" $((SECONDS - began))
}

razor_torch_spec() {
    # The constraint as it stands, but '===' on a machine with a GPU: pip prefers a build with a
    # local version such as 2.13.0+cpu, and only '===' tells the two apart.
    local line
    line="$(grep -E '^torch==' "$RAZOR_ROOT/requirements/constraints.txt")"
    if [ "$RAZOR_GPU" = gpu ]; then line="${line//torch==/torch===}"; fi
    printf '%s\n' "$line"
}

razor_install_torch() {
    if [ "${RAZOR_KEEP_TORCH:-}" = 1 ]; then
        "$RAZOR_PYTHON" -m pip show torch
    elif [ -n "$RAZOR_TORCH_FILE" ]; then
        "$RAZOR_PYTHON" -m pip install --no-deps -r "$RAZOR_TORCH_FILE"
    else
        razor_torch_spec >"$RAZOR_VENV/torch.txt" &&
            "$RAZOR_PYTHON" -m pip install -c "$RAZOR_CONSTRAINTS" -r "$RAZOR_VENV/torch.txt"
    fi
}

razor_check_torch() {
    "$RAZOR_PYTHON" - "$RAZOR_GPU" <<'CHECK'
import os
import sys

import torch

if sys.argv[1] == 'gpu' and not torch.cuda.is_available():
    build = f'built for CUDA {torch.version.cuda}' if torch.version.cuda else 'a CPU build'
    message = (
        f'This machine has a GPU, but torch {torch.__version__} ({build}) cannot use it. Install a '
        'torch that fits the driver into the environment, with the command that the selector on '
        'the PyTorch web site gives, and run this again with RAZOR_KEEP_TORCH=1; or set '
        'RAZOR_ALLOW_CPU_TORCH=1 to work on the CPU.')
    if os.environ.get('RAZOR_ALLOW_CPU_TORCH') != '1':
        sys.exit(message)
    print(message)
CHECK
}

razor_install_xtcocotools() {
    # Wheels end with Python 3.11; its source is compiled against the numpy of the environment.
    command -v "${CC:-cc}" || {
        echo 'xtcocotools has no wheel for this Python: install a C compiler, or Python 3.11'
        return 1
    }
    "$RAZOR_PYTHON" -m pip install -c "$RAZOR_CONSTRAINTS" numpy cython &&
        "$RAZOR_PYTHON" -m pip install --no-deps --no-build-isolation -c "$RAZOR_CONSTRAINTS" \
            xtcocotools
}

razor_install_requirements() {
    # torch is there already, under its own constraint.
    grep -v '^torch' "$RAZOR_ROOT/requirements/runtime.txt" >"$RAZOR_VENV/runtime.txt" &&
        "$RAZOR_PYTHON" -m pip install -c "$RAZOR_CONSTRAINTS" -r "$RAZOR_VENV/runtime.txt" \
            -r "$RAZOR_ROOT/requirements/tests.txt"
}

razor_install_openmmlab() {
    # A full mmcv built by the user stays: mmcv-lite would be written over it.
    local unwanted='^$'
    if "$RAZOR_PYTHON" -m pip show -q mmcv 2>/dev/null; then unwanted='^mmcv-lite'; fi
    grep -v "$unwanted" "$RAZOR_ROOT/requirements/mminstall.txt" >"$RAZOR_VENV/mminstall.txt" &&
        "$RAZOR_PYTHON" -m pip install --no-deps -c "$RAZOR_CONSTRAINTS" \
            -r "$RAZOR_ROOT/requirements/nodeps.txt" -r "$RAZOR_VENV/mminstall.txt" \
            -r "$RAZOR_ROOT/requirements/tests_nodeps.txt"
}

razor_setup() {
    RAZOR_CONSTRAINTS="$RAZOR_ROOT/requirements/constraints.txt"
    case "${RAZOR_TORCH:-}" in
        '') RAZOR_TORCH_FILE='' RAZOR_VENV="${RAZOR_VENV:-$RAZOR_ROOT/.venv}" ;;
        2.1) RAZOR_TORCH_FILE="$RAZOR_ROOT/requirements/torch21.txt"
             RAZOR_VENV="${RAZOR_VENV:-$RAZOR_ROOT/.venv-torch21}" ;;
        *) razor_fail "RAZOR_TORCH=$RAZOR_TORCH is not known; leave it empty, or set it to 2.1."
           return 1 ;;
    esac
    case "$RAZOR_VENV" in /*) ;; *) RAZOR_VENV="$PWD/$RAZOR_VENV" ;; esac
    RAZOR_PYTHON="$RAZOR_VENV/bin/python"
    RAZOR_LOG="$RAZOR_VENV/setup.log"
    RAZOR_GPU=cpu
    if [ -z "$RAZOR_TORCH_FILE" ] && nvidia-smi -L >/dev/null 2>&1; then RAZOR_GPU=gpu; fi

    local stamp="$RAZOR_VENV/razor_ext.stamp" python
    if [ -f "$stamp" ] && [ "$(razor_stamp 2>/dev/null)" = "$(cat "$stamp")" ]; then return; fi

    if ! "$RAZOR_PYTHON" -m pip --version >/dev/null 2>&1; then
        python="$(razor_find_python)" || return 1
        printf '[setup] creating %s with %s\n' "$RAZOR_VENV" "$("$python" -V)"
        "$python" -m venv --clear "$RAZOR_VENV" || {
            razor_fail "$python cannot create environments; install its venv package"
            return 1
        }
    fi
    rm -f "$stamp"
    : >"$RAZOR_LOG"
    printf '[setup] %s; log: %s\n' "$("$RAZOR_PYTHON" -V)" "$RAZOR_LOG"
    razor_step 'pip, setuptools' "$RAZOR_PYTHON" -m pip install -c "$RAZOR_CONSTRAINTS" \
        --upgrade pip setuptools wheel || return 1
    razor_step 'torch (the largest download)' razor_install_torch || return 1
    razor_step 'checking torch' razor_check_torch || return 1
    if "$RAZOR_PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 12))'; then
        razor_step 'xtcocotools, from source' razor_install_xtcocotools || return 1
    fi
    razor_step 'requirements' razor_install_requirements || return 1
    razor_step 'OpenMMLab packages' razor_install_openmmlab || return 1
    razor_step 'razor_ext' "$RAZOR_PYTHON" -m pip install --no-deps --no-build-isolation \
        -e "$RAZOR_ROOT" || return 1
    razor_stamp >"$stamp"
    printf '[setup] done\n'
}

razor_setup
