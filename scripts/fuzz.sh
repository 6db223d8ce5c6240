#!/usr/bin/env bash
# Runs every fuzz target of both modules, one after the other:
# scripts/fuzz.sh TIME, where TIME is for each target, such as 10s.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-10s}

for dir in $(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -r -n1 dirname | sort -u); do
	for target in $(grep -ho '^func Fuzz[A-Za-z0-9_]*' "$dir"/*_test.go | cut -d' ' -f2 | sort); do
		echo "==> $dir $target for $time"
		go test -C "$dir" -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 20x . | grep -v '^fuzz: elapsed\|^PASS$'
	done
done
