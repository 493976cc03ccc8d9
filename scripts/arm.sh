#!/usr/bin/env bash
# `scripts/arm.sh wheel`: an aarch64 wheel in dist/, cross-compiled.
# `scripts/arm.sh test`: the native engine's C++ and Python tests under qemu-user.
# Needs no root: an arm64 Debian is unpacked under build/arm and never booted. See docs/arm.md.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly WORK="$PWD/build/arm"
readonly ROOT="$WORK/root"                      # the arm64 Debian: Python and its headers, C library
readonly SITE="$WORK/site"                      # what pip installs into it
readonly TOOLCHAIN="$PWD/native/aarch64.cmake"
readonly CPUS=(cortex-a72 neoverse-n1)          # without and with the dot product
readonly VERSION=$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
readonly TAG="cp${VERSION/./}"
# What pip may take for it: no glibc newer than this Debian's is asked for.
readonly PLATFORMS=(manylinux2014_aarch64 manylinux_2_{26,27,28,31,34,35,36}_aarch64)

# need COMMAND=PACKAGE…: stops with exit code 2 and the packages to install where a command is missing.
need() {
  local missing=()
  for pair in "$@"; do
    command -v "${pair%%=*}" > /dev/null || missing+=("${pair#*=}")
  done
  if ((${#missing[@]})); then
    echo "arm.sh: this needs Debian or Ubuntu with: apt-get install ${missing[*]}" >&2
    exit 2
  fi
}

# An arm64 Debian of this machine's release, from this machine's package sources.
unpack_root() {
  [[ -f $ROOT/.complete ]] && return
  rm -rf "$ROOT" "$WORK/apt"
  mkdir -p "$ROOT" "$WORK/apt/state/lists/partial" "$WORK/apt/cache/archives/partial"
  touch "$WORK/apt/status"
  cat > "$WORK/apt/apt.conf" <<CONF
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Install-Recommends "false";
APT::Sandbox::User "";
Acquire::Languages "none";
Dir::State "$WORK/apt/state";
Dir::State::status "$WORK/apt/status";
Dir::Cache "$WORK/apt/cache";
CONF
  APT_CONFIG="$WORK/apt/apt.conf" apt-get --quiet=2 update
  APT_CONFIG="$WORK/apt/apt.conf" apt-get --quiet=2 --yes --download-only install \
    python3 libpython3-dev libstdc++6 > /dev/null
  for archive in "$WORK"/apt/cache/archives/*.deb; do
    dpkg-deb --extract "$archive" "$ROOT"
  done
  if [[ ! -x $ROOT/usr/bin/python$VERSION ]]; then
    echo "arm.sh: .venv has Python $VERSION, this Debian release does not:" \
      "make clean, then make PYTHON=python3 with the system's Python" >&2
    exit 2
  fi
  touch "$ROOT/.complete"
}

build_wheel() {
  need aarch64-linux-gnu-g++=g++-aarch64-linux-gnu
  unpack_root
  # Python's headers without the C library's, which the cross compiler brings.
  mkdir -p dist "$WORK/wheel" "$WORK/include"
  ln -sfn "$ROOT/usr/include/aarch64-linux-gnu" "$WORK/include/aarch64-linux-gnu"
  rm -f "$WORK"/wheel/*.whl dist/*"$TAG"*aarch64.whl
  # scikit-build-core takes the wheel's tag and the module's suffix from two of these variables.
  HAT_REQUIRE_NATIVE=1 \
    _PYTHON_HOST_PLATFORM=linux-aarch64 \
    SETUPTOOLS_EXT_SUFFIX=".cpython-${VERSION/./}-aarch64-linux-gnu.so" \
    CMAKE_ARGS="-DCMAKE_TOOLCHAIN_FILE=$TOOLCHAIN -DPython_INCLUDE_DIR=$ROOT/usr/include/python$VERSION" \
    CXXFLAGS="-isystem $WORK/include" \
    .venv/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir "$WORK/wheel" .
  # Names the oldest glibc that the module runs with (manylinux_2_34 and the like).
  PATH="$PWD/.venv/bin:$PATH" auditwheel repair --wheel-dir dist "$WORK"/wheel/*.whl
  ls dist/*aarch64.whl
}

test_cpp() {
  local build="$WORK/tests"
  .venv/bin/cmake -S native -B "$build" -G Ninja -DCMAKE_MAKE_PROGRAM="$PWD/.venv/bin/ninja" \
    -DHAT_TESTS=ON -DCMAKE_TOOLCHAIN_FILE="$TOOLCHAIN" > /dev/null
  .venv/bin/cmake --build "$build"
  for cpu in "${CPUS[@]}"; do
    echo "C++ tests on $cpu"
    qemu-aarch64 -cpu "$cpu" -L "$ROOT" "$build/native_tests"
  done
}

# The wheel and what its tests need, as pip would install them on an aarch64 machine.
install_site() {
  local platforms=()
  for platform in "${PLATFORMS[@]}"; do platforms+=(--platform "$platform"); done
  rm -rf "$SITE"
  .venv/bin/pip install --quiet --constraint constraints.txt --target "$SITE" --only-binary :all: \
    --implementation cp --python-version "$VERSION" "${platforms[@]}" dist/*"$TAG"*aarch64.whl pytest hypothesis
}

# A command for the arm64 Python that also the processes of that Python can start.
python_on() {
  local command="$WORK/python-$1"
  cat > "$command" <<SH
#!/bin/sh
export PYTHONPATH="$SITE" PYTHONEXECUTABLE="$command"
exec qemu-aarch64 -cpu $1 -L "$ROOT" "$ROOT/usr/bin/python$VERSION" "\$@"
SH
  chmod +x "$command"
  echo "$command"
}

test_python() {
  echo 'import os, sys; sys.executable = os.environ["PYTHONEXECUTABLE"]' > "$SITE/sitecustomize.py"
  for cpu in "${CPUS[@]}"; do
    echo "Python tests on $cpu"
    local python
    python=$(python_on "$cpu")
    "$python" -m hat.cli doctor
    "$python" -m pytest -p no:cacheprovider tests/runtime/test_native*.py
  done
}

case "${1-}" in
  wheel)
    build_wheel
    ;;
  test)
    need aarch64-linux-gnu-g++=g++-aarch64-linux-gnu qemu-aarch64=qemu-user
    unpack_root
    test_cpp
    build_wheel
    install_site
    test_python
    ;;
  *)
    echo "usage: scripts/arm.sh wheel|test" >&2
    exit 2
    ;;
esac
