#!/bin/sh
# fuzz.sh TARGET SECONDS: fuzz from the kept corpus (tests/corpus/NAME) and from what earlier runs
# found on this machine (found/ beside the target), where new inputs and crashes are put too.
set -eu
target=$1
name=$(basename "$target")
kept=$(dirname "$0")/corpus/$name
found=$(dirname "$target")/found
mkdir -p "$kept" "$found/$name"
exec "$target" -max_total_time="$2" -artifact_prefix="$found/$name." "$found/$name" "$kept"
