#!/bin/sh
# Installs what examples/lab needs: a Linux kernel that runs as a process, the
# peers that run in it, and the tools to look at what they do. Nothing is
# started on this machine, and nothing done where all is there already.
set -eu
exec "$(dirname "$0")/apt.sh" \
	user-mode-linux gcc libc6-dev \
	pptpd ppp pptp-linux \
	freeradius postgresql \
	iproute2 iputils-ping util-linux nftables \
	tcpdump tshark python3-scapy
