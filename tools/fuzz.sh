#!/bin/sh
# Fuzzes every fuzz target of the module in turn, SECONDS for all together
# (default 60), each at most 5 s. Building for fuzzing comes on top.
set -eu
total=${1:-60}

# "go test -list" prints a package's targets first and the package after them.
list=$(go test -list '^Fuzz' ./...) || { echo "$list"; exit 1; }
targets=$(printf '%s\n' "$list" | awk '
	/^Fuzz/ { names[n++] = $1 }
	/^ok/   { for (i = 0; i < n; i++) print $2, names[i] }
	!/^Fuzz/ { n = 0 }')
count=$(printf '%s' "$targets" | grep -c . || true)
if [ "$count" -eq 0 ]; then
	echo "fuzz: there is no fuzz target"
	exit 1
fi

each=$((total * 10 / count)) # tenths of a second
[ "$each" -le 50 ] || each=50
echo "fuzz: $count targets, $((each / 10)).$((each % 10)) s each"
printf '%s\n' "$targets" | while read -r package name; do
	go test "$package" -run '^$' -fuzz "^$name\$" -fuzztime "$((each * 100))ms" -fuzzminimizetime 10x -timeout 2m
done
