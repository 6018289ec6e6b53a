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

# What is built to tell the fuzzer where an input led to. For long runs that is all that
# a target is made of, the standard library included, as "go test -fuzz" does it, and all
# of it is compiled once more. A short run is led by our packages alone: it builds in half
# the time, and tries two inputs where the other tries one.
case $how in
each)
	tenths=$((seconds * 10))
	watched=-fuzz=Fuzz
	;;
all)
	tenths=$((seconds * 10 / count))
	watched=-gcflags=github.com/svmgate/svmgate/...=-d=libfuzzer
	;;
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
	if grep -q 'not built with coverage' "$binaries/log"; then
		echo "fuzz: $3 knows nothing of where inputs lead to: go test -c $watched has no effect" >&2
		return 1
	fi
	return "$failed"
}

# Until Go 1.27 fuzzing may fail because its time is up (golang.org/issue/75804): then it
# says this, and names no input. Such a run has found nothing, and is done again.
only_time_was_up() {
	grep -qx ' *context deadline exceeded' "$binaries/log" && ! grep -qiE 'failing input|panic' "$binaries/log"
}

# One binary for all targets of a package: "go test -fuzz" links one for each. Two are
# built at a time, since the compiler waits for one file after the other.
go=${GO:-go}
binaries=$(mktemp -d)
trap 'rm -rf "$binaries"' EXIT
cache=$("$go" env GOCACHE)/fuzz
packages=$(printf '%s\n' "$targets" | cut -d ' ' -f 1 | sort -u)
printf '%s\n' "$packages" | xargs -P 2 -I PACKAGE "$go" test -c -vet=off "$watched" -o "$binaries/PACKAGE/fuzz" PACKAGE
for package in $packages; do
	binary=$binaries/$package/fuzz
	for name in $(printf '%s\n' "$targets" | grep "^$package " | cut -d ' ' -f 2); do
		echo "fuzz: $name"
		tries=1
		until once "$binary" "$package" "$name"; do
			only_time_was_up && [ $tries -lt 10 ] || exit 1
			tries=$((tries + 1))
		done
	done
done
