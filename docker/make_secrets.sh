#!/bin/sh
# Makes every secret of the stack that is missing, one file each, in ./secrets (or SECRETS_DIR).
# What is there is never overwritten. To change one: docs/deployment.md, "Changing a password".
#
# The folder is its owner's alone; the files in it are readable, because each process reads its own
# as a user of its own, and Compose hands files over with the mode that they have here.
set -eu

directory=${SECRETS_DIR:-$(dirname "$0")/../secrets}
umask 077
mkdir -p "$directory"
chmod 700 "$directory"

random() { # 40 hexadecimal digits: 160 bits, and nothing that a URL, a shell or SQL would need quoted
  od -An -N20 -tx1 /dev/urandom | tr -d ' \n'
}

made=0
for name in \
  secret_key code_key \
  postgres_admin postgres_owner postgres_worker postgres_web postgres_toolbox postgres_courier \
  rabbitmq_admin rabbitmq_migrate rabbitmq_worker rabbitmq_web rabbitmq_flower rabbitmq_toolbox rabbitmq_cookie \
  redis_admin redis_worker redis_web redis_flower redis_toolbox redis_courier \
  mongodb_admin mongodb_worker mongodb_web mongodb_toolbox mongodb_express \
  flower_password mongo_express_password
do
  file=$directory/$name
  if [ ! -s "$file" ]; then
    case $name in
      secret_key | code_key) value=$(random)$(random) ;;
      *) value=$(random) ;;
    esac
    printf '%s\n' "$value" > "$file.new"
    mv "$file.new" "$file"
    made=$((made + 1))
  fi
  chmod 644 "$file"
done
# The key of a gateway for SMS comes from the gateway: docs/confirmation.md.
[ -e "$directory/code_gateway_key" ] || : > "$directory/code_gateway_key"
chmod 644 "$directory/code_gateway_key"
# So do those of webhooks, a file each: docs/webhooks.md.
mkdir -p "$directory/webhooks"
chmod 755 "$directory/webhooks"
echo "$made secrets made, the others kept: $directory"
