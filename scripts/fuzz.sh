#!/usr/bin/env bash
# Runs every fuzz target of both modules, one after the other:
# scripts/fuzz.sh TIME, where TIME is for each target, such as 10s.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-10s}

# fuzz DIR TARGET. Now and then the go command takes the end of the time, when it
# comes in the middle of an input, for a failure of the target, and says only
# that a deadline was exceeded. A finding names the input that it has written.
fuzz() {
	local out
	if out=$(go test -C "$1" -run '^$' -fuzz "^$2\$" -fuzztime "$time" -fuzzminimizetime 20x . 2>&1); then
		tail -n 1 <<<"$out"
	elif grep -q '^ *context deadline exceeded$' <<<"$out" && ! grep -q 'Failing input\|panic:' <<<"$out"; then
		echo "ok, and the time was over in the middle of an input"
	else
		echo "$out"
		return 1
	fi
}

for dir in $(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -r -n1 dirname | sort -u); do
	for target in $(grep -ho '^func Fuzz[A-Za-z0-9_]*' "$dir"/*_test.go | cut -d' ' -f2 | sort); do
		echo "==> $dir $target for $time"
		fuzz "$dir" "$target"
	done
done
