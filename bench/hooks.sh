#!/bin/sh
# bench/hooks.sh: what hooks cost an event at `produce`: an empty one in C, an empty one in Lua, and one in
# Lua that looks at the value and sets a header. Nanoseconds of CPU, so that others on the machine matter
# little.
#
#   bench/hooks.sh [COUNT]      needs: cc; BOURN_BIN names another binary, its bench stands beside it
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
bourn=${BOURN_BIN:-$root/build/release/bourn}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

cc -O2 -shared -fPIC -I "$root/include" -o "$work/empty.so" "$root/tests/hooks/empty.c"
echo 'function produce(event) end' >"$work/empty.lua"
cat >"$work/look.lua" <<'END'
function produce(event)
  if event.value:find('"test":true', 1, true) then return "drop" end
  event.headers.checked = "yes"
end
END
cat >"$work/json.lua" <<'END'
function produce(event)
  local value = json.decode(event.value)
  value.note = nil
  event.value = json.encode(value)
end
END
"$(dirname "$bourn")/bourn-bench-hooks" --count "${1:-200000}" \
	"$work/empty.so" "$work/empty.lua" "$work/look.lua" "$work/json.lua"
