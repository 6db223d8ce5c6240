#!/bin/sh
# Installs Debian packages that are missing: scripts/apt.sh PACKAGE...
# Says what it does, and does nothing where all are there already.
set -eu

missing=
for package in "$@"; do
	status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
	[ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ]; then
	echo "These Debian packages are missing, and installing them needs root:$missing" >&2
	exit 1
fi
echo "==> apt-get install$missing"

# A daemon that is installed for the tests must not be started by its
# installation: only the tests start it, in their own namespaces.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
	trap 'rm -f "$policy"' EXIT INT TERM
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
# shellcheck disable=SC2086 # a list of words
apt-get -qq -y --no-install-recommends install $missing >/dev/null
