#!/bin/sh
# Install Debian or Ubuntu packages, where we may; otherwise say what to type.
set -eu

if ! command -v apt-get >/dev/null; then
    echo "Missing here: $*; install with your system's package manager, then try again" >&2
    exit 1
fi

if [ "$(id -u)" = 0 ]; then
    sudo=
elif sudo -n true 2>/dev/null; then
    sudo='sudo -n'
else
    echo "Missing here: $*; install with: sudo apt-get update && sudo apt-get install --no-install-recommends $*" >&2
    exit 1
fi

# Packages start their system services when they are installed; ours are private and need none of those.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap '$sudo rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | $sudo tee "$policy" >/dev/null
    $sudo chmod 755 "$policy"
fi

log=$(mktemp)
echo "Installing $*…"
if ! { $sudo apt-get update && $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"; } \
    >"$log" 2>&1 </dev/null; then
    tail -n 5 "$log" >&2
    echo "apt-get could not install $* (whole output: $log)" >&2
    exit 1
fi
rm -f "$log"
