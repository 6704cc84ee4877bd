#!/bin/bash
# Puts the passwords into the definitions, then starts RabbitMQ as its image does. Run at every start, so a
# changed password or right takes effect with `docker compose restart rabbitmq`.
set -euo pipefail
umask 077

bytes() { printf "$(sed 's/../\\x&/g' <<< "$1")"; } # from hexadecimal

password_hash() { # what RabbitMQ keeps of a password: base64(salt + sha256(salt + password))
  local salt digest
  salt=$(od -An -N4 -tx1 /dev/urandom | tr -d ' \n')
  digest=$({ bytes "$salt"; printf %s "$1"; } | sha256sum | cut -c 1-64)
  bytes "$salt$digest" | base64 -w 0
}

definitions=$(< /breakwater/definitions.json)
for user in admin migrate worker web flower toolbox; do
  hash=$(password_hash "$(< "/run/secrets/rabbitmq_$user")")
  definitions=${definitions//@$user@/$hash}
done
printf '%s\n' "$definitions" > /tmp/definitions.json

exec docker-entrypoint.sh rabbitmq-server
