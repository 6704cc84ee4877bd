#!/bin/sh
# Write locks/ from pyproject.toml: every package with its version and the hashes of its files, for each
# Python and machine that we run on. First argument: uv. Versions stay as they are while pyproject.toml
# allows them; with UPGRADE=1 they become the newest.
set -eu

uv=$1

write() {
    lock=locks/$1.txt
    shift
    echo "$lock"
    "$uv" pip compile --universal --python-version 3.11 --generate-hashes --quiet --no-annotate \
        --custom-compile-command 'make lock' ${UPGRADE:+--upgrade} --output-file "$lock" "$@"
}

# The largest first: the others take their versions from it.
write dev pyproject.toml --extra local --extra test --extra bench --extra otel
write run pyproject.toml --extra local --constraints locks/dev.txt
write image pyproject.toml --constraints locks/dev.txt
write otel pyproject.toml --extra otel --constraints locks/dev.txt
write tools --group tools --constraints locks/dev.txt
