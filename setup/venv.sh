#!/usr/bin/env bash
# Makes the action's private Python environment from the hash-locked requirements, and says where its Python is.
# State comes from COVEN_PYTHON, COVEN_ACTION_PATH and the runner's own variables; it takes no argument.
set -euo pipefail

fail() { # title, then what to do
  printf '::error title=coven-action::%s\n' "$1 $2"
  exit 1
}

case "$(uname -s)" in
  Linux | Darwin) ;;
  *) fail "This action runs on Linux and macOS runners only." "Use runs-on: ubuntu-24.04." ;;
esac

python=$(command -v "${COVEN_PYTHON:-python3}") || fail "No Python was found as '${COVEN_PYTHON:-python3}'." "Put actions/setup-python before this step."
"$python" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "Python 3.11 or newer is needed." "Put actions/setup-python with python-version: '3.12' before this step."
command -v git >/dev/null || fail "git was not found." "Install git on the runner."

# A fresh environment for each job, in a folder that the runner empties between jobs: nothing that ran before is in it.
venv="${RUNNER_TEMP:?RUNNER_TEMP is not set: run this inside GitHub Actions}/coven-action-venv"
locked="$COVEN_ACTION_PATH/requirements/action.txt"
if [ ! -e "$venv/.ready" ]; then
  rm -rf "$venv"
  if command -v uv >/dev/null; then
    uv venv --quiet --no-project --no-config --python "$python" "$venv"
    uv pip install --quiet --no-config --python "$venv/bin/python" --require-hashes --only-binary :all: --compile-bytecode -r "$locked"
  else
    "$python" -I -m venv "$venv"
    "$venv/bin/python" -I -m pip install --quiet --disable-pip-version-check --no-input --require-hashes --only-binary :all: -r "$locked"
  fi
  # The package itself is this action's own folder. A path file rather than PYTHONPATH, so that Python runs isolated (-I):
  # neither a variable nor a file in the checkout can put another module in its place.
  printf '%s\n' "$COVEN_ACTION_PATH/src" > "$("$venv/bin/python" -I -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/coven_action.pth"
  touch "$venv/.ready"
fi
printf 'command=%s\n' "$venv/bin/python" >> "$GITHUB_OUTPUT"
