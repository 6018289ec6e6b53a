#!/bin/sh
# Fuzzes every fuzz target of the module in turn, SECONDS for all together
# (default 40), each at most 5 s. Building for fuzzing comes on top.
set -eu
total=${1:-40}

# Read from the sources: asking "go test -list" would link every test there is.
targets=$(grep -rE '^func Fuzz[A-Za-z0-9_]*\(' --include='*_test.go' . |
	sed -E 's|/[^/]*_test\.go:func (Fuzz[A-Za-z0-9_]*)\(.*| \1|' | sort)
count=$(printf '%s' "$targets" | grep -c . || true)
if [ "$count" -eq 0 ]; then
	echo "fuzz: there is no fuzz target" >&2
	exit 1
fi

each=$((total * 10 / count)) # tenths of a second
[ "$each" -le 50 ] || each=50
echo "fuzz: $count targets, $((each / 10)).$((each % 10)) s each"
printf '%s\n' "$targets" | while read -r package name; do
	echo "fuzz: $name"
	go test "$package" -vet=off -run '^$' -fuzz "^$name\$" -fuzztime "$((each * 100))ms" -fuzzminimizetime 10x -timeout 2m
done
