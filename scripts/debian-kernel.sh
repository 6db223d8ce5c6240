#!/bin/sh
# Fetches Debian's kernel and unpacks it: scripts/debian-kernel.sh DIR. Nothing of it is
# installed. It does nothing where one is there already.
set -eu

dir=$1
[ -z "$(find "$dir/boot" -name 'vmlinuz-*' 2>/dev/null)" ] || exit 0
package=$(apt-cache depends linux-image-amd64 | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p')
[ -n "$package" ] || { echo "no linux-image-amd64 among Debian's packages" >&2; exit 1; }
echo "==> unpacking $package into $dir"
download=$(mktemp -d)
trap 'rm -rf "$download"' EXIT
(cd "$download" && apt-get -qq download "$package")
mkdir -p "$dir"
dpkg -x "$download"/*.deb "$dir"
