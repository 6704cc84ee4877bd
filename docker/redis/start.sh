#!/bin/sh
# Puts the passwords' hashes into the users' rights, then becomes Redis. Run at every start, so a changed
# password or right takes effect with `docker compose restart redis`.
set -eu
umask 077

hash() { printf %s "$(cat "/run/secrets/redis_$1")" | sha256sum | cut -c 1-64; }

# Without codes by SMS there may be no courier, and no password for one: its user stays without any.
[ -e /run/secrets/redis_courier ] && courier=s/@courier@/$(hash courier)/ || courier=/@courier@/d

# The user "default" is off, so nobody can be it. It has all rights, since Redis reads its append-only file as
# this user and checks each command inside a MULTI or a script: without them a restart loses limits and counts.
sed -e "s/@admin@/$(hash admin)/" -e "s/@worker@/$(hash worker)/" \
  -e "s/@web@/$(hash web)/" -e "s/@flower@/$(hash flower)/" -e "s/@toolbox@/$(hash toolbox)/" -e "$courier" \
  /breakwater/users.acl > /tmp/users.acl

exec redis-server /breakwater/redis.conf --aclfile /tmp/users.acl
