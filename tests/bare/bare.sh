#!/bin/sh
# bare.sh [run|test]: does `./dev run` (default) or `./dev test` work in a new Debian 12 that holds
# nothing but git and a clone of what is committed here? Root only; needs debootstrap.
#
# The new system is made in a temporary folder and removed at the end. How packages are reached
# (sources, proxies, keys, name servers) is taken from the system this runs on.
set -eu
what=${1:-run}
case $what in
run | test) ;;
*) echo "usage: bare.sh [run|test]" >&2; exit 2 ;;
esac
[ "$(id -u)" -eq 0 ] || { echo "bare.sh: needs root, for chroot" >&2; exit 2; }
command -v debootstrap >/dev/null || { echo "bare.sh: needs the package debootstrap" >&2; exit 2; }

repository=$(cd "$(dirname "$0")/../.." && pwd)
root=$(mktemp -d "${TMPDIR:-/tmp}/bourn-bare.XXXXXX")
# shellcheck disable=SC2016 # apt's own variables
mirror=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME)' 2>/dev/null |
	awk '$2 == "bookworm" { print $1; exit }')

finish() {
	for mount in dev/pts dev/shm dev proc sys; do
		! mountpoint -q "$root/$mount" || umount -l "$root/$mount"
	done
	rm -rf --one-file-system "$root"
}
trap finish EXIT
trap 'exit 1' INT TERM

echo "== a new Debian 12 in $root"
debootstrap --variant=minbase --include=git bookworm "$root" ${mirror:+"$mirror"} \
	>"$root.log" 2>&1 || { tail -n 20 "$root.log"; exit 1; }
rm -f "$root.log"

# The way out of this machine, as it is here.
cp /etc/resolv.conf "$root/etc/resolv.conf"
for file in /etc/apt/apt.conf /etc/apt/apt.conf.d/*proxy* /etc/apt/auth.conf; do
	[ ! -f "$file" ] || cp "$file" "$root$file"
done
mkdir -p "$root/usr/local/share/ca-certificates"
cp /usr/local/share/ca-certificates/*.crt "$root/usr/local/share/ca-certificates/" 2>/dev/null || true
grep -hs '^Acquire::[^{]*;$' /etc/apt/apt.conf.d/* >"$root/etc/apt/apt.conf.d/99-as-outside" || true

git clone -q "$repository" "$root/root/bourn"
for mount in proc sys dev dev/pts dev/shm; do
	[ ! -d "/$mount" ] || { mkdir -p "$root/$mount"; mount --bind "/$mount" "$root/$mount"; }
done

inside() {
	env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb \
		http_proxy="${http_proxy:-}" https_proxy="${https_proxy:-}" \
		chroot "$root" /bin/sh -c "cd /root/bourn; $1" </dev/null
}

if [ "$what" = test ]; then
	inside ./dev\ test
	exit
fi

echo "== ./dev run, then an event through it"
started=$(date +%s)
# The broker answers on the port it names; then it is stopped as a person stops it.
# shellcheck disable=SC2016 # the inner shell's variables
inside './dev run -- --port 0 >run.log 2>&1 & echo $! >run.pid
	tries=0
	until grep -q "listening on" run.log; do
		tries=$((tries + 1))
		[ $tries -lt 600 ] && kill -0 "$(cat run.pid)" || { cat run.log; exit 1; }
		sleep 1
	done
	url=$(sed -n "s/.*listening on \(http:[^ ]*\).*/\1/p" run.log)
	bourn=build/release/bourn
	"$bourn" produce --server "$url" t hello &&
		"$bourn" consume --server "$url" t --until-end | grep hello
	status=$?
	kill "$(cat run.pid)"
	wait
	cat run.log
	exit $status'
echo "== ready and answering after $(($(date +%s) - started)) s, packages included"
