#!/usr/bin/env bash
# Shows on a machine with a CUDA GPU all that HAT does there, in at most 8 minutes:
#
#     scripts/gpu_check.sh DATA_FOLDER [OUTPUT]
#
# DATA_FOLDER has the Multi30k files; without them that part says so. OUTPUT is one dated JSON file, by default
# benchmarks/results/gpu-DATE.json, which holds every result as soon as it is there. The machine needs Python
# 3.11 or newer with PyTorch, no network: what else is missing comes from wheels/, which scripts/gpu_wheels.sh
# fills elsewhere. See docs/gpu.md. From the environment: PYTHON, by default python3; GPU_CHECK_SECONDS, by
# default 480; GPU_CHECK_REHEARSAL=1 for tiny sizes on the processor.
set -uo pipefail

if (($# < 1 || $# > 2)); then
  echo "usage: scripts/gpu_check.sh DATA_FOLDER [OUTPUT]" >&2
  exit 2
fi
data=$(realpath -m "$1")
root=$(realpath "$(dirname "$0")/..")
output=$(realpath -m "${2:-$root/benchmarks/results/gpu-$(date +%F).json}")
cd "$root" || exit 2

python=${PYTHON:-python3}
budget=${GPU_CHECK_SECONDS:-480}
options=()
log=build/gpu-check/install.log
mkdir -p build/gpu-check

# An environment of its own that sees the packages beside $python, PyTorch among them. Where that is an
# environment itself, `venv --system-site-packages` would show those of its base only.
make_environment() {
  rm -rf build/gpu-check/venv
  "$python" -m venv --without-pip build/gpu-check/venv || return
  local site
  site=$(build/gpu-check/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') || return
  "$python" -c 'import sys; print(*(path for path in sys.path if path.endswith("-packages")), sep="\n")' \
    > "$site/beside.pth"
}

# pip_install SECONDS ARGUMENT…
pip_install() {
  local limit=$1
  shift
  timeout --kill-after 5 "$limit" "$python" -m pip --python build/gpu-check/venv/bin/python install --quiet \
    --no-index --find-links wheels --no-build-isolation "$@"
}

install_hat() {
  make_environment || return
  # These two build HAT; ninja and cmake too where the machine has none.
  pip_install 30 'scikit-build-core>=1.1' 'nanobind>=3.1' || true
  pip_install 20 ninja || true
  # What the machine has is kept where it is new enough. Where something is missing altogether, all wheels go in
  # and the parts that need the missing package say so.
  # shellcheck disable=SC2046  # requirements without spaces
  pip_install 60 'pytest>=8' $(requirements) || pip_install 60 --no-deps --requirement wheels/requirements.txt
  # The native engine needs a C++ compiler; without one, or where that takes too long, HAT is pure Python.
  pip_install 150 --no-deps --config-settings build-dir=build/gpu-check/native . ||
    pip_install 60 --no-deps --config-settings wheel.cmake=false .
}

# HAT's requirements for training, from pyproject.toml.
requirements() {
  "$python" - <<'PYTHON'
import tomllib

project = tomllib.load(open("pyproject.toml", "rb"))["project"]
lines = [*project["dependencies"], *project["optional-dependencies"]["train"]]
print(*(line.replace(" ", "") for line in lines))
PYTHON
}

version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') || exit 2
if "$python" -c 'import hat.training, pytest' 2> /dev/null; then
  note="HAT was there"
elif "$python" -c 'import sys; sys.exit(sys.version_info >= (3, 11))'; then
  note="Python $version: HAT needs 3.11 or newer, so only the machine is looked at"
  options+=(--only machine)
elif install_hat > "$log" 2>&1 && build/gpu-check/venv/bin/python -c 'import hat.training, pytest' 2>> "$log"; then
  python=$root/build/gpu-check/venv/bin/python
  note="installed in $SECONDS s"
else
  note="not installed, run from src: $(tail -n 5 "$log" | tr '\n' ' ')"
  timeout 60 "$python" -m pip install --quiet --no-index --no-deps --find-links wheels --upgrade \
    --target build/gpu-check/site --requirement wheels/requirements.txt >> "$log" 2>&1
  export PYTHONPATH=$root/build/gpu-check/site:$root/src
fi
"$python" -c 'import hat.runtime._native' 2> /dev/null && note+="; with the native engine"
echo "gpu_check: Python $version, $note"

if [[ ${GPU_CHECK_REHEARSAL:-0} == 1 ]]; then
  export CUDA_VISIBLE_DEVICES=
  options+=(--rehearsal)
fi
if [[ ! -e .git && -f wheels/COMMIT ]]; then
  GPU_CHECK_COMMIT=$(< wheels/COMMIT)
  export GPU_CHECK_COMMIT
fi
exec "$python" benchmarks/gpu_check.py "$data" "$output" --seconds "$((budget - SECONDS))" --note "$note" \
  ${options[@]+"${options[@]}"}
