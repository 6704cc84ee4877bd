#!/bin/sh
# Install what only the tests need, unless it is there: a browser with its driver, and Prometheus.
set -eu

have() { command -v "$1" >/dev/null; }

if have chromedriver && { have chromium || have google-chrome; } && have prometheus; then
    exit 0
fi
if [ "$(uname)" = Darwin ]; then
    echo 'The tests need Chromium and Prometheus; install them: brew install --cask chromium chromedriver; brew install prometheus' >&2
    exit 1
fi
exec "$(dirname "$0")/install_packages.sh" chromium chromium-driver prometheus
