#!/bin/sh
# Starts mongo-express with its MongoDB login from a file, and with session secrets of its own.
set -eu

random() { od -An -N20 -tx1 /dev/urandom | tr -d ' \n'; }

export ME_CONFIG_MONGODB_URL="mongodb://express:$(cat /run/secrets/mongodb_express)@mongodb:27017/breakwater?authSource=admin"
export ME_CONFIG_SITE_COOKIESECRET="$(random)" ME_CONFIG_SITE_SESSIONSECRET="$(random)"

[ -s "$ME_CONFIG_BASICAUTH_PASSWORD_FILE" ] || { echo 'mongo-express: no password, so no start' >&2; exit 1; }
exec /docker-entrypoint.sh mongo-express
