#!/usr/bin/env bash
# Bring an environment up to a lock: `requirements/install.sh LOCK [VENV]`, LOCK being run, dev or bench.
# Does nothing when that lock is already installed here. Finds a Python itself; PYTHON=/path/to/python overrides.
set -euo pipefail
cd "$(dirname "$0")/.."

lock=requirements/$1.lock
venv=${2:-.venv}
stamp=$venv/$1.installed
oldest="3.11"

# The lock, what pyproject.toml says of the package, and the place decide: a moved checkout would otherwise go on importing
# from its old place.
state_of() {
  { cat "requirements/$1.lock"; sed '/^\[tool.ruff\]/,$d' pyproject.toml; pwd; } | git hash-object --stdin
}
state=$(state_of "$1")
if [ -x "$venv/bin/python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$state" ]; then
  exit 0
fi

find_python() {
  local candidate
  for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.14 python}; do
    if "$candidate" -c "import sys; sys.exit(sys.version_info < (3, 11))" 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  {
    echo "Provost needs Python $oldest or newer, and found none (tried: ${PYTHON:-python3, python3.11 to python3.14, python})."
    echo "Here python3 is: $(python3 --version 2>/dev/null || echo missing)."
    echo "Install one (Debian, Ubuntu: sudo apt-get install python3 python3-venv; macOS: brew install python@3.13),"
    echo "or name it: make PYTHON=/path/to/python3.11 …"
  } >&2
  return 1
}

if ! "$venv/bin/python" -c "import pip" 2>/dev/null; then
  python=$(find_python)
  if ! "$python" -c "import venv, ensurepip" 2>/dev/null; then
    version=$("$python" -c "import sys; print('%d.%d' % sys.version_info[:2])")
    echo "$python has no venv or no pip. Install them (Debian, Ubuntu: sudo apt-get install python$version-venv) and try again." >&2
    exit 1
  fi
  echo "Creating $venv with $("$python" --version) …"
  rm -rf "$venv"
  "$python" -m venv "$venv"
fi

total=$(grep -c '^[a-z0-9].*==' "$lock")
echo "Installing up to $total packages from $lock into $venv (once; takes a minute) …"
rm -f "$stamp"
# pip writes some lines a package; shown as a counter, so that a slow network does not look like a hang.
show() {
  local verb rest count=0
  while read -r verb rest; do
    case $verb in
      Collecting | Requirement) count=$((count + 1)) ;;
      Installing) printf '%s  unpacking …\n' "${clear:-}" && continue ;;
      *) continue ;;
    esac
    rest=${rest#already satisfied: }
    if [ -n "${clear:-}" ]; then
      printf '%s  %s/%s %s' "$clear" "$count" "$total" "${rest%%[=<>; ]*}"
    elif [ $((count % 20)) = 0 ]; then
      printf '  %s/%s\n' "$count" "$total"
    fi
  done
  printf '%s' "${clear:-}"
}
[ ! -t 1 ] || clear=$'\r\e[K'
# What a package says of the Python it needs was heeded when the locks were compiled; of one it is not true (requirements/opa.lock).
PYTHONUNBUFFERED=1 "$venv/bin/python" -m pip install --disable-pip-version-check --no-input --progress-bar off --require-hashes \
  --ignore-requires-python -r "$lock" | show

if [ "$1" != bench ]; then
  # Provost itself, editable: one .pth file naming the import roots. Its build backend is in the lock, so nothing is fetched.
  "$venv/bin/python" -m pip install --disable-pip-version-check --quiet --no-index --no-deps --no-build-isolation -e .
fi
echo "$state" >"$stamp"
if [ "$1" = dev ]; then
  # The dev lock holds everything of the run lock.
  state_of run >"$venv/run.installed"
fi
