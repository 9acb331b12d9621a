#!/bin/sh
# bench/hooks.sh: what hooks cost an event at `produce`: an empty one in C, an empty one in Lua, and some in
# Lua that do something. Nanoseconds of CPU, so that others on the machine matter little.
#
#   bench/hooks.sh [COUNT]      needs: cc; BOURN_BIN names another binary, its bench stands beside it
#   bench/hooks.sh none         what it costs that there could be some: instructions, of two builds made for
#                               that; needs: valgrind, and what the build needs
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
bourn=${BOURN_BIN:-$root/build/release/bourn}

# With debug information, as callgrind tells by it what is whose.
build() {
	cmake --preset bench -S "$root" -B "$root/build/$1" -D CMAKE_C_FLAGS="$2" >/dev/null
	cmake --build "$root/build/$1" --target bourn >/dev/null
}

if [ "${1:-}" = none ]; then
	build bench-hooks -g
	build bench-without-hooks '-g -DBOURN_WITHOUT_HOOKS'
	exec /usr/bin/python3 "$root/bench/hooks.py" "$root/build/bench-hooks/bourn" \
		"$root/build/bench-without-hooks/bourn"
fi

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
