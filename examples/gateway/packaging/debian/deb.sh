#!/bin/sh
# Builds the Debian package of the gateway: deb.sh DIRECTORY
# GATEWAY names a gateway that has been built already. The version is that of git.
set -eu
umask 022
out=$(mkdir -p "$1" && cd "$1" && pwd)
cd "$(dirname "$0")/.."
packaging=$PWD
module=$(cd ../.. && pwd)

# 1.2.3 of the tag v1.2.3, 1.2.3+5.gabcdef behind it, 0~20260102.gabcdef without a tag.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
if version=$(git describe --tags --match 'v[0-9]*' 2>/dev/null); then
	version=$(echo "${version#v}" | sed 's/-\([0-9]*\)-g/+\1.g/; s/-/~/g')
else
	version=0~$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y%m%d%H%M).g$(git rev-parse --short=9 HEAD)
fi
arch=$(dpkg --print-architecture)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
install -d "$root/DEBIAN"
put() { install -D -m "$1" "$2" "$root/$3"; }

if [ -z "${GATEWAY:-}" ]; then
	GATEWAY=$work/gateway
	(cd "$module" && CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o "$GATEWAY" ./gateway)
fi
put 755 "$GATEWAY" usr/sbin/gopptp-gateway
put 644 systemd/gopptp-gateway.service lib/systemd/system/gopptp-gateway.service
put 644 systemd/gopptp-gateway.socket lib/systemd/system/gopptp-gateway.socket
put 644 debian/gopptp-gateway.rules lib/udev/rules.d/60-gopptp-gateway.rules
put 644 debian/gateway.yaml etc/gopptp/gateway.yaml
put 644 fail2ban/filter.d/gopptp-gateway.conf etc/fail2ban/filter.d/gopptp-gateway.conf

doc=usr/share/doc/gopptp-gateway
put 644 ../gateway.example.yaml $doc/examples/gateway.example.yaml
put 644 systemd/xdp.conf $doc/examples/xdp.conf
put 644 fail2ban/jail.d/gopptp-gateway.conf $doc/examples/fail2ban-jail.conf
put 644 debian/overrides usr/share/lintian/overrides/gopptp-gateway
{
	echo 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/'
	echo 'Upstream-Name: gopptp'
	echo 'Source: https://github.com/gopptp/gopptp'
	echo
	echo 'Files: *'
	sed -n 's/^Copyright (c) /Copyright: /p' "$module/../LICENSE"
	echo 'License: Expat'
	sed '1,/^Copyright/d; 1,/./{/^$/d}; s/^$/./; s/^/ /' "$module/../LICENSE"
} >"$work/copyright"
put 644 "$work/copyright" $doc/copyright
{
	echo "gopptp-gateway ($version) unstable; urgency=medium"
	echo
	echo '  * As of this version. CHANGELOG.md of the source has what is new.'
	echo
	echo " -- The gopptp authors <gopptp@users.noreply.github.com>  $(date -u -R -d "@$SOURCE_DATE_EPOCH")"
} | gzip -9n >"$work/changelog.gz"
put 644 "$work/changelog.gz" $doc/changelog.gz
for page in man/*.[58]; do
	gzip -9nc "$page" >"$work/page.gz"
	put 644 "$work/page.gz" "usr/share/man/man${page##*.}/${page#man/}.gz"
done

for script in postinst prerm postrm; do put 755 debian/$script DEBIAN/$script; done
(cd "$root" && find etc -type f | sed 's,^,/,' | sort) >"$root/DEBIAN/conffiles"
size=$(du -sk --exclude=DEBIAN "$root" | cut -f1)
sed "s/@VERSION@/$version/; s/@ARCH@/$arch/; s/@SIZE@/$size/" debian/control >"$root/DEBIAN/control"
(cd "$root" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
find "$root" -newermt "@$SOURCE_DATE_EPOCH" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
# What it is packed with is xz, which takes its time.
# shellcheck disable=SC2086 # a list of options
dpkg-deb ${PACKING:--Zxz} --root-owner-group --build "$root" "$out/gopptp-gateway_${version}_$arch.deb" >/dev/null
echo "$out/gopptp-gateway_${version}_$arch.deb"
