#!/bin/sh
# The health check: nginx answers. By the way it keeps a fresh copy of the pages, for when the web is away.
host=${ALLOWED_HOSTS%%,*}
get() { curl -s -m 2 -o /dev/null -H "Host: ${host:-localhost}" "$@"; }

for language in '' fa en; do get -H "Accept-Language: $language" http://127.0.0.1:8080/; done
for page in fa/ en/; do get "http://127.0.0.1:8080/$page"; done
exec curl -fsS -m 2 -o /dev/null http://127.0.0.1:8090/
