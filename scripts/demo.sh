#!/usr/bin/env bash
# Shows the gateway and the client at work: a tunnel between two network
# namespaces of this machine, ping and iperf3 through it, its counters, and an
# end in order. Needs root, Go and Debian; changes nothing outside of its
# namespaces and a temporary directory, and leaves neither.
set -euo pipefail
cd "$(dirname "$0")/.."

server=gopptp-demo-server-$$
client=gopptp-demo-client-$$
work=
pids=()

# --- what is printed ---------------------------------------------------------

bold= plain=
if [ -t 1 ]; then bold=$'\e[1m' plain=$'\e[0m'; fi
step() { printf '\n%s==> %s%s\n' "$bold" "$*" "$plain"; }
fail() {
	printf '\n%s==> FAILED: %s%s\n' "$bold" "$*" "$plain" >&2
	exit 1
}
# Runs what follows and shows it as a command line.
show() {
	printf '    $ %s\n' "$*"
	"$@"
}
# The output of a program, indented below its name. The log's times are of no
# interest here.
label() { sed -u -e 's/^time=[^ ]* //' -e "s/^/    $1 | /"; }

# --- cleaning up, however it ends --------------------------------------------

cleanup() {
	status=$?
	trap - EXIT
	trap '' INT TERM
	set +e
	for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null; done
	for _ in $(seq 30); do
		alive=no
		for pid in "${pids[@]}"; do kill -0 "$pid" 2>/dev/null && alive=yes; done
		[ $alive = yes ] || break
		sleep 0.1
	done
	for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null; done
	wait 2>/dev/null
	for ns in "$server" "$client"; do
		[ ! -e "/run/netns/$ns" ] || ip netns del "$ns"
	done
	[ -z "$work" ] || rm -rf "$work"
	exit $status
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Forgets a process that has ended.
forget() {
	local left=()
	for pid in "${pids[@]}"; do [ "$pid" = "$1" ] || left+=("$pid"); done
	pids=("${left[@]}")
}

# wait_for FILE PATTERN PID WHAT: until a line is there, while the process lives.
wait_for() {
	for _ in $(seq 100); do
		if grep -q "$2" "$1" 2>/dev/null; then
			sleep 0.1 # what has been written is shown by now
			return
		fi
		kill -0 "$3" 2>/dev/null || fail "$4: the process ended"
		sleep 0.1
	done
	fail "$4: nothing after 10 s"
}

# --- preparations ------------------------------------------------------------

[ "$(id -u)" = 0 ] || fail "the demo makes network namespaces, and needs root for it"
command -v go >/dev/null || fail "Go is missing: https://go.dev/doc/install"
scripts/apt.sh iproute2 iputils-ping iperf3

step "Building the gateway and the client"
work=$(mktemp -d)
show go build -C examples -o "$work/" ./gateway ./dial
SECONDS=0

step "Two network namespaces with a cable between them"
ip netns add "$server"
ip netns add "$client"
ip link add uplink netns "$server" type veth peer name uplink netns "$client"
for end in "$server 192.0.2.1/30" "$client 192.0.2.2/30"; do
	read -r ns address <<<"$end"
	ip -n "$ns" link set lo up
	ip -n "$ns" address add "$address" dev uplink
	ip -n "$ns" link set uplink up
done
ip netns exec "$server" sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
echo "    gateway 192.0.2.1 <---> 192.0.2.2 client"

# --- the gateway -------------------------------------------------------------

step "The gateway"
umask 077
password=$(od -An -N12 -tx1 /dev/urandom | tr -d ' \n')
cat >"$work/gateway.yaml" <<-END
	local_address: 10.9.0.1
	pools: [10.9.1.1-10.9.1.250]
	dns: [10.9.0.53]
	secrets_file: chap-secrets
END
cat >"$work/chap-secrets" <<-END
	# client  server  secret  address
	alice     *       $password  10.9.1.7
END
sed 's/^/    gateway.yaml | /' "$work/gateway.yaml"
show "$work/gateway" check-config --config "$work/gateway.yaml" | sed "s|$work/||g; s/^\([^ ]\)/    \1/"

echo "    \$ gateway serve --config gateway.yaml"
ip netns exec "$server" "$work/gateway" serve --config "$work/gateway.yaml" \
	2> >(tee "$work/gateway.log" | label gateway) &
gateway_pid=$!
pids+=("$gateway_pid")
wait_for "$work/gateway.log" 'msg=ready' "$gateway_pid" "the gateway does not start"

# --- the client --------------------------------------------------------------

step "The client dials (times are from the TCP connection on)"
echo "    \$ dial --user alice --password-file password --dns 192.0.2.1"
printf '%s\n' "$password" >"$work/password"
ip netns exec "$client" "$work/dial" --user alice --password-file "$work/password" --dns 192.0.2.1 \
	> >(tee "$work/dial.log" | label 'client ') 2>&1 &
dial_pid=$!
pids+=("$dial_pid")
wait_for "$work/dial.log" '^up: ' "$dial_pid" "the tunnel does not come up"
wait_for "$work/gateway.log" 'msg="session up"' "$gateway_pid" "the gateway knows nothing of the tunnel"

step "Ping through the tunnel"
show ip netns exec "$client" timeout 10 ping -c 4 -i 0.2 10.9.0.1 | sed '/^\$/!s/^\([^ ]\)/    \1/' ||
	fail "no answer through the tunnel"

step "iperf3 through the tunnel, encrypted, for 3 s each way"
ip netns exec "$server" iperf3 -s --forceflush >"$work/iperf3-server.log" 2>&1 &
iperf_pid=$!
pids+=("$iperf_pid")
wait_for "$work/iperf3-server.log" 'listening' "$iperf_pid" "iperf3 does not start"
for direction in "client to gateway:" "gateway to client:-R"; do
	# shellcheck disable=SC2086 # the option, if there is one
	set -- iperf3 -c 10.9.0.1 -t 3 -f m ${direction#*:}
	printf '    $ ip netns exec %s %s\n' "$client" "$*"
	ip netns exec "$client" timeout 20 "$@" >"$work/iperf3.log" 2>&1 || {
		cat "$work/iperf3.log"
		fail "iperf3, ${direction%:*}"
	}
	printf '    %s  %s\n' "${direction%:*}" "$(awk '/receiver/ { print $7, $8 }' "$work/iperf3.log")"
done

# --- the end -----------------------------------------------------------------

step "SIGTERM to the gateway: it tells its sessions, and both ends count"
sleep 0.3 # for the last packets of iperf3
kill -TERM "$gateway_pid"
dial_status=0 gateway_status=0
wait "$dial_pid" || dial_status=$?
forget "$dial_pid"
wait "$gateway_pid" || gateway_status=$?
forget "$gateway_pid"
sleep 0.2 # for the last lines
[ $gateway_status = 0 ] || fail "the gateway ended with exit code $gateway_status"
[ $dial_status = 11 ] || fail "the client ended with exit code $dial_status, not 11 (ended by the server)"
grep -q '^down: cause=peer .*received_packets=[1-9]' "$work/dial.log" || fail "the client has counted nothing"
grep -q 'msg="session down" .*received_packets=[1-9]' "$work/gateway.log" || fail "the gateway has counted nothing"

step "All good, in $SECONDS s. Cleaning up"
