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

# One binary for all targets of a package: "go test -fuzz" links one for each.
go=${GO:-go}
binaries=$(mktemp -d)
trap 'rm -rf "$binaries"' EXIT
cache=$("$go" env GOCACHE)/fuzz
packages=$(printf '%s\n' "$targets" | cut -d ' ' -f 1 | sort -u)
for package in $packages; do
	binary=$binaries/$(printf '%s' "$package" | tr / _)
	"$go" test -c -vet=off -fuzz=Fuzz -o "$binary" "$package"
	for name in $(printf '%s\n' "$targets" | grep "^$package " | cut -d ' ' -f 2); do
		echo "fuzz: $name"
		(cd "$package" && "$binary" -test.run '^$' -test.fuzz "^$name\$" -test.fuzztime "$((tenths * 100))ms" \
			-test.fuzzminimizetime 10x -test.fuzzcachedir "$cache/$package" -test.timeout 2m)
	done
done
