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

# once fuzzes one target: once BINARY PACKAGE NAME.
once() {
	(cd "$2" && "$1" -test.run '^$' -test.fuzz "^$3\$" -test.fuzztime "$((tenths * 100))ms" \
		-test.fuzzminimizetime 10x -test.fuzzcachedir "$cache/$2" -test.timeout 2m) >"$binaries/log" 2>&1 && failed=0 || failed=$?
	cat "$binaries/log"
	return "$failed"
}

# Until Go 1.27 fuzzing may fail because its time is up (golang.org/issue/75804): then it
# says this, and names no input. Such a run has found nothing, and is done again.
only_time_was_up() {
	grep -qx ' *context deadline exceeded' "$binaries/log" && ! grep -qiE 'failing input|panic' "$binaries/log"
}

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
		tries=1
		until once "$binary" "$package" "$name"; do
			only_time_was_up && [ $tries -lt 10 ] || exit 1
			tries=$((tries + 1))
		done
	done
done
