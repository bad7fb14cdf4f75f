#!/usr/bin/env bash
# Compile the locks: hashes for every platform and Python from 3.11, and no address of an index, so that they install from anywhere.
# Pass uv's options through, for instance --upgrade or --upgrade-package grpcio.
set -euo pipefail
cd "$(dirname "$0")/.."

[ -x .venv-lock/bin/uv ] || { "${PYTHON:-python3}" -m venv .venv-lock && .venv-lock/bin/pip install --quiet uv; }
unset PIP_FIND_LINKS UV_FIND_LINKS

compile() {
  .venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
    --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" "$@"
}
compile requirements/run.in -o requirements/run.lock "$@"
compile requirements/dev.in -c requirements/run.lock -o requirements/dev.lock "$@"
for lock in run dev; do cat requirements/opa.lock >>"requirements/$lock.lock"; done
compile requirements/bench.in -o requirements/bench.lock "$@"

if grep -nE '://|^ *--(index|extra-index|find-links)' requirements/*.lock; then
  echo "An address has found its way into a lock (above)." >&2
  exit 1
fi
