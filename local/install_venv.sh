#!/bin/sh
# Make the virtual environment (first argument) unless it is there, and install into it what a lock
# (second argument) names, in its versions and with its hashes.
set -eu

venv=$1
lock=$2

find_python() {
    for python in python3.14 python3.13 python3.12 python3.11 python3; do
        if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$python"
            return
        fi
    done
    echo 'Breakwater needs Python 3.11 or newer; install it: sudo apt-get install python3 python3-venv (macOS: brew install python)' >&2
    exit 1
}

make_venv() {
    if "$1" -c 'import ensurepip, venv' 2>/dev/null; then
        "$1" -m venv --clear "$venv"
        return
    fi
    # Debian and Ubuntu ship these two modules apart from Python.
    version=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    "$(dirname "$0")/install_packages.sh" "python$version-venv"
    "$1" -m venv --clear "$venv"
}

if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    python=$(find_python)
    make_venv "$python"
fi

echo 'Installing the Python packages…'
# The lock names everything, so nothing is looked up; Python compiles a module when it first imports it.
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile --no-deps --require-hashes -r "$lock"
