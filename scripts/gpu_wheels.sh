#!/usr/bin/env bash
# Wheels for a machine with a GPU and no network: `scripts/gpu_wheels.sh [PYTHON_VERSION …]`, by default 3.11
# 3.12 3.13, puts into wheels/ what HAT, its build and its tests need there, at the versions of constraints.txt.
# PyTorch and what only it needs stay out, and so do large packages that a machine with PyTorch usually has;
# `--large` as the first argument takes the latter along. See docs/gpu.md.
set -euo pipefail
cd "$(dirname "$0")/.."

large=0
if [[ ${1-} == --large ]]; then
  large=1
  shift
fi
versions=("$@")
((${#versions[@]})) || versions=(3.11 3.12 3.13)
# glibc's of 2018 and later, which pip takes only by their exact names.
platforms=()
for name in manylinux1 manylinux2010 manylinux2014 manylinux_2_{5,12,17,24,26,27,28,31,34}; do
  platforms+=(--platform "${name}_x86_64")
done

# The distributions that HAT needs, from what is installed here, as NAME==VERSION.
rm -rf wheels
mkdir wheels
.venv/bin/python - "$large" > wheels/requirements.txt <<'PYTHON'
import re
import sys
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement

LARGE = {"numpy", "scipy", "scikit-learn", "cmake", "tensorboard", "tensorboard-data-server", "grpcio"}
LARGE |= {"pillow", "lxml"}
skipped = {"torch", "triton", "setuptools"} | (set() if sys.argv[1] == "1" else LARGE)
wanted = [("hardware-aware-transformers", "train"), ("pytest", ""), ("scikit-build-core", ""), ("nanobind", "")]
wanted += [("ninja", ""), ("cmake", "")]
seen = {}
while wanted:
    name, extra = wanted.pop()
    name = re.sub(r"[-_.]+", "-", name).lower()
    if name in skipped or (name, extra) in seen:
        continue
    try:
        seen[name, extra] = version(name)
    except PackageNotFoundError:
        continue  # needed on other systems only
    for line in requires(name) or ():
        requirement = Requirement(line)
        if requirement.marker is None or any(
            requirement.marker.evaluate({"extra": one}) for one in {extra, ""}
        ):
            wanted += [(requirement.name, one) for one in requirement.extras or {""}]
found = {name: number for (name, _), number in seen.items() if name != "hardware-aware-transformers"}
print("\n".join(f"{name}=={number}" for name, number in sorted(found.items())))
PYTHON

for version in "${versions[@]}"; do
  echo "Python $version"
  .venv/bin/pip download -qq --no-deps --only-binary=:all: --dest wheels --implementation cp \
    --python-version "$version" "${platforms[@]}" --requirement wheels/requirements.txt
done
git rev-parse HEAD > wheels/COMMIT  # for a copy without the history
echo "wheels/: $(find wheels -name '*.whl' | wc -l) wheels, $(du -sm wheels | cut -f1) MiB"
