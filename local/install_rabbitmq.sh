#!/bin/sh
# Install RabbitMQ unless it is there.
set -eu

if [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || [ -x /opt/homebrew/sbin/rabbitmq-server ] ||
    [ -x /usr/local/sbin/rabbitmq-server ] || command -v rabbitmq-server >/dev/null; then
    exit 0
fi
if [ "$(uname)" = Darwin ]; then
    if ! command -v brew >/dev/null; then
        echo 'RabbitMQ is missing here; install Homebrew, then: brew install rabbitmq' >&2
        exit 1
    fi
    exec brew install --quiet rabbitmq
fi
exec "$(dirname "$0")/install_packages.sh" rabbitmq-server
