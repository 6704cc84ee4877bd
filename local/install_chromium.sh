#!/bin/sh
# Install a browser and its driver for the browser tests, unless they are there.
set -eu

have() { command -v "$1" >/dev/null; }

if have chromedriver && { have chromium || have google-chrome; }; then
    exit 0
fi
if [ "$(uname)" = Darwin ]; then
    echo 'The browser tests need Chromium; install it: brew install --cask chromium chromedriver' >&2
    exit 1
fi
exec "$(dirname "$0")/install_packages.sh" chromium chromium-driver
