#!/bin/sh
# Writes the parts of nginx's configuration that depend on settings, each time the container starts.
set -eu

out=/run/nginx
die() { echo "nginx: $1" >&2; exit 1; }

# A process for each core, and no more than four: the machine may have many cores, and this container is small.
cores=$(nproc)
echo "worker_processes $((cores < 4 ? cores : 4));" > $out/main

# WEB_HOSTS: the web, or those of several machines.
webs=${WEB_HOSTS:-web:8000}
echo "$webs" | grep -Eqx '[][A-Za-z0-9.:_-]+:[0-9]+(,[][A-Za-z0-9.:_-]+:[0-9]+)*' ||
  die "WEB_HOSTS=$webs is not a list such as web:8000,10.0.0.12:8000"

# Connections to the web are kept. nginx 1.27.3 and later can do that and follow a name whose addresses change;
# an older one can do only one of the two, and then it follows the name.
version=$(nginx -v 2>&1 | sed 's/.*nginx\///; s/[^0-9.].*//')
oldest=$(printf '%s\n1.27.3\n' "$version" | sort -t. -k1,1n -k2,2n -k3,3n | head -n 1)
if [ "$oldest" = 1.27.3 ]; then
  {
    echo 'upstream web_pool {'
    echo '    zone web_pool 256k;'
    # A container that has died is left alone until its name no longer leads to it, some 2 s later: a request that
    # waits for it in that moment could go to no other one. A machine that is away is asked again every 5 s.
    echo "$webs" | tr ',' '\n' | sed 's/.*/    server & resolve max_fails=1 fail_timeout=5s;/'
    cat <<'CONF'
    keepalive 256; # idle ones in each process: as many as it had requests under way, so that none is opened anew
    keepalive_requests 100000;
    keepalive_timeout 60s; # gunicorn's is 75 s: the side that sends requests must hang up first
}
map "" $web { default web_pool; }
CONF
  } > $out/upstream.conf
else
  case $webs in *,*) die "WEB_HOSTS=$webs needs nginx 1.27.3 or later" ;; esac
  echo "map \"\" \$web { default $webs; }" > $out/upstream.conf
fi

# CDN: whose word for a visitor's address and scheme is taken. The file's first line names the header.
ranges=/etc/nginx/cdn/${CDN:-none}.txt
[ -r "$ranges" ] || die "CDN=${CDN:-} is unknown; known: $(ls /etc/nginx/cdn | sed 's/\.txt$//' | tr '\n' ' ')"
{
  header=$(sed -n 's/^# header: //p' "$ranges")
  [ -z "$header" ] || echo "real_ip_header $header;"
  grep -v -e '^#' -e '^$' "$ranges" | sed 's/.*/set_real_ip_from &;/' || true
  echo 'geo $realip_remote_addr $from_cdn {'
  echo '    default 0;'
  grep -v -e '^#' -e '^$' "$ranges" | sed 's/.*/    & 1;/' || true
  echo '}'
  echo 'map $from_cdn$http_x_forwarded_proto $visitor_scheme { default $scheme; 1https https; 1http http; }'
} > $out/cdn.conf

hsts=${HSTS:-max-age=86400}
echo "$hsts" | grep -Eqx 'off|max-age=[0-9]{1,10}(; includeSubDomains)?(; preload)?' ||
  die "HSTS=$hsts is not max-age=SECONDS, which ; includeSubDomains and ; preload may follow, or off"
case ${HTTPS:-on},$hsts in
  *,off) hsts= ;;
  on,* | true,* | yes,* | 1,* | ON,* | True,* | Yes,*) ;;
  *) hsts= ;;
esac
case ${ACCESS_LOG:-witness} in
  witness) logged='~^(202|[45])' ;;
  all) logged='~' ;;
  *) die "ACCESS_LOG=${ACCESS_LOG:-} is not witness or all" ;;
esac
case ${DEFAULT_LANGUAGE:-fa} in fa | en) ;; *) die "DEFAULT_LANGUAGE=${DEFAULT_LANGUAGE:-} is not fa or en" ;; esac
{
  echo "map \"\" \$hsts { default \"$hsts\"; }"
  echo "map \$status \$worth_a_line { default 0; \"$logged\" 1; }"
  echo "map \"\" \$default_language { default ${DEFAULT_LANGUAGE:-fa}; }"
  echo 'map $host $known_host { hostnames; default "";'
  for host in $(echo "${ALLOWED_HOSTS:-localhost,127.0.0.1,[::1]}" | tr ',' ' '); do
    case $host in '*') echo '"~" 1;' ;; *) echo "\"$host\" 1;" ;; esac
  done
  echo '}'
} > $out/settings.conf

# ADMIN_FROM: addresses and ranges from which /admin/ and /ops/ can be reached. By default private networks, but
# not those that this container is on itself: where Docker's user-land proxy, its rootless network or IPv6 hides
# visitors' addresses, all of them come from its gateway. /proc/net/route has little-endian hexadecimal numbers.
own_networks() {
  awk 'function number(hex, at) { return index("0123456789ABCDEF", substr(hex, at, 1)) - 1 }
    function dotted(hex,  text, i) {
      for (i = 7; i > 0; i -= 2) text = text (text == "" ? "" : ".") number(hex, i) * 16 + number(hex, i + 1)
      return text
    }
    function bits(hex,  n, i, digit) {
      for (i = 1; i <= 8; i++) for (digit = number(hex, i); digit > 0; digit = int(digit / 2)) n += digit % 2
      return n + 0
    }
    NR > 1 && $8 == "00000000" && $3 != "00000000" { print dotted($3) }
    NR > 1 && $8 != "00000000" { print dotted($2) "/" bits($8) }' "${ROUTES:-/proc/net/route}"
}
{
  [ -n "${ADMIN_FROM:-}" ] || for range in $(own_networks); do echo "deny $range;"; done
  for range in $(echo "${ADMIN_FROM:-127.0.0.0/8,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16}" | tr ',' ' '); do
    echo "allow $range;"
  done
  echo 'deny all;'
} > $out/admin.rules

# With a certificate in /etc/nginx/tls (docker/tls.yml) visitors are served by https, and http leads there.
: > $out/tls.server
if [ -e /etc/nginx/tls/fullchain.pem ]; then
  cat > $out/tls.server <<'CONF'
listen 8443 ssl default_server backlog=4096 reuseport;
http2 on;
ssl_certificate /etc/nginx/tls/fullchain.pem;
ssl_certificate_key /etc/nginx/tls/privkey.pem;
ssl_protocols TLSv1.2 TLSv1.3;
ssl_session_cache shared:tls:10m;
ssl_session_tickets off;
if ($to_https) { return 301 https://$host$request_uri; }
CONF
  # Health questions come from load balancers and from inside, by http.
  echo 'map "$visitor_scheme $uri" $to_https { default ""; "~^http /(livez|readyz|version)$" ""; "~^http " 1; }' > $out/tls.conf
fi
