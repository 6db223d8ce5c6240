#!/usr/bin/env bash
# Runs every fuzz target of both modules, as many side by side as there are processors:
# scripts/fuzz.sh TIME, where TIME is for each target, such as 10s.
set -euo pipefail
cd "$(dirname "$0")/.."
export time=${1:-10s} programs corpus
programs=$(mktemp -d)
trap 'rm -rf "$programs"' EXIT
corpus=$(go env GOCACHE)/fuzz # where go test -fuzz has it too

# targets builds one program for each package, and lists what is in it as it is there.
targets() {
	local dir package program
	for dir in $(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -r -n1 dirname | sort -u); do
		package=$(go list -C "$dir")
		program=$programs/${package//\//-}
		go test -C "$dir" -c -fuzz . -o "$program" . >&2
		grep -ho '^func Fuzz[A-Za-z0-9_]*' "$dir"/*_test.go | cut -d' ' -f2 | sort | sed "s|^|$program $package $dir |"
	done
}

# fuzz PROGRAM PACKAGE DIR TARGET. Now and then the fuzzer takes the end of the time, when
# it comes in the middle of an input, for a failure of the target, and says only that a
# deadline was exceeded. A finding names the input that it has written.
fuzz() {
	local out status=0
	out=$(cd "$3" && "$1" -test.run='^$' -test.fuzz="^$4\$" -test.fuzztime="$time" -test.fuzzminimizetime=20x \
		-test.fuzzcachedir="$corpus/$2" -test.parallel=1 -test.paniconexit0 2>&1) || status=1
	if [ $status = 0 ]; then
		out=$(grep '^fuzz: ' <<<"$out" | tail -n 1)
	elif grep -q '^ *context deadline exceeded$' <<<"$out" && ! grep -q 'Failing input\|panic:' <<<"$out"; then
		out="ok, and the time was over in the middle of an input" status=0
	fi
	printf '==> %s %s for %s\n%s\n' "$3" "$4" "$time" "$out"
	return $status
}
export -f fuzz

targets | xargs -r -P "$(nproc)" -n 4 bash -c 'fuzz "$@"' fuzz
