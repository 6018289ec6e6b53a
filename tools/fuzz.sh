#!/bin/sh
# Fuzzes every fuzz target of the module in turn: fuzz.sh each SECONDS, or
# fuzz.sh all SECONDS for all of them together. Building for fuzzing comes on top.
set -eu
how=${1:-each}
seconds=${2:-30}

# Read from the sources: asking "go test -list" would link every test there is.
targets=$(grep -rE '^func Fuzz[A-Za-z0-9_]*\(' --include='*_test.go' . |
	sed -E 's|/[^/]*_test\.go:func (Fuzz[A-Za-z0-9_]*)\(.*| \1|' | sort)
count=$(printf '%s' "$targets" | grep -c . || true)
if [ "$count" -eq 0 ]; then
	echo "fuzz: there is no fuzz target" >&2
	exit 1
fi

case $how in
each) tenths=$((seconds * 10)) ;;
all) tenths=$((seconds * 10 / count)) ;;
*)
	echo "usage: fuzz.sh each|all SECONDS" >&2
	exit 2
	;;
esac
echo "fuzz: $count targets, $((tenths / 10)).$((tenths % 10)) s each"
printf '%s\n' "$targets" | while read -r package name; do
	echo "fuzz: $name"
	go test "$package" -vet=off -run '^$' -fuzz "^$name\$" -fuzztime "$((tenths * 100))ms" -fuzzminimizetime 10x -timeout 2m
done
