#!/bin/sh
# Waits until PostgreSQL takes connections, then becomes the command: entrypoint-postgres.sh COMMAND...
#
# After POSTGRES_WAIT seconds it goes on all the same: the web accepts registrations without PostgreSQL,
# a worker waits by itself, and migrate fails with a message of its own.
set -eu

host=${POSTGRES_HOST:-postgres}
port=${POSTGRES_PORT:-5432}
deadline=$(($(date +%s) + ${POSTGRES_WAIT:-60}))

until pg_isready --quiet --host="$host" --port="$port" --timeout=2; do
  if [ "$(date +%s)" -ge "$deadline" ]; then
    echo "entrypoint-postgres: $host:$port took no connection in ${POSTGRES_WAIT:-60} s; going on without it" >&2
    break
  fi
  sleep 0.5
done

exec "$@"
