#!/bin/sh
# fuzz.sh TARGET [SECONDS]: fuzz for so long (default: $BOURN_FUZZ_SECONDS, or else 10) from the kept
# corpus (tests/corpus/NAME) and from what earlier runs
# found on this machine (found/ beside the target), where new inputs and crashes are put too.
set -eu
target=$1
name=$(basename "$target")
kept=$(dirname "$0")/corpus/$name
found=$(dirname "$target")/found
mkdir -p "$kept" "$found/$name"
exec "$target" -max_total_time="${2:-${BOURN_FUZZ_SECONDS:-10}}" -artifact_prefix="$found/$name." "$found/$name" "$kept"
