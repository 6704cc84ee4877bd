#!/bin/sh
# Install what only the tests need, unless it is there: browsers with their drivers, Prometheus, PgBouncer, rsyslog.
set -eu

have() { command -v "$1" >/dev/null; }

if [ "$(uname)" = Darwin ]; then # where the other engines are not tested
    have chromedriver && { have chromium || have google-chrome; } && have prometheus && exit 0
    echo 'The tests need Chromium and Prometheus; install them: brew install --cask chromium chromedriver; brew install prometheus' >&2
    exit 1
fi
if have chromedriver && have chromium && have firefox-esr && have WebKitWebDriver && have Xvfb && have prometheus &&
    { have pgbouncer || [ -x /usr/sbin/pgbouncer ]; } && [ -x /usr/sbin/rsyslogd ] &&
    [ -e "$(dpkg -L rsyslog-elasticsearch 2>/dev/null | grep omelasticsearch.so)" ]; then
    exit 0
fi
# Xvfb: WebKitGTK's browser needs a screen.
exec "$(dirname "$0")/install_packages.sh" chromium chromium-driver firefox-esr webkit2gtk-driver xvfb prometheus pgbouncer \
    rsyslog rsyslog-elasticsearch
