#!/bin/sh
# Make a root file system with Debian's Asterisk for the lab and print where it is.
#   rootfs.sh asterisk16|asterisk22
# Kept in build/lab/NAME; made in a temporary folder first and renamed, so a half-made one is never used.
set -eu

fail() {
	printf 'rootfs: %s\n  hint: %s\n' "$1" "$2" >&2
	exit 1
}

name=${1:-asterisk16}
packages=asterisk,asterisk-core-sounds-en-gsm
pin=
case $name in
asterisk16)
	suite=bullseye
	packages=$packages,asterisk-voicemail
	# The security archive does not keep every package of its last Asterisk build; the release itself is complete.
	pin='Package: asterisk*\nPin: release n=bullseye-security\nPin-Priority: -1\n'
	;;
asterisk22) suite=sid ;; # the mailbox application is part of the modules package there
*) fail "no dialer is called '$name'" "use asterisk16 or asterisk22" ;;
esac

top=$(cd "$(dirname "$0")/../../.." && pwd)
target=$top/build/lab/$name
if [ -x "$target/usr/sbin/asterisk" ]; then
	echo "$target"
	exit 0
fi
[ "$(id -u)" = 0 ] || fail "making the dialer's root file system needs root" "run as root once; $target is kept"
command -v mmdebstrap >/dev/null || fail "mmdebstrap is not installed" "apt-get install mmdebstrap"

mkdir -p "$top/build/lab"
log=$top/build/lab/$name.log
made=$(mktemp -d "$top/build/lab/.$name.XXXXXX")
trap 'rm -rf "$made"' EXIT
trap 'exit 130' INT TERM

echo "rootfs: making $name from Debian $suite (about 300 MB, half a minute on a fast line)" >&2
# A mirror's snapshot of sid may be older than its release file allows, which does not matter to a lab.
# shellcheck disable=SC2016 # mmdebstrap's shell expands $1, the new root
if ! PIN=$pin mmdebstrap --variant=apt --include="$packages" \
	--setup-hook='mkdir -p "$1/etc/apt/preferences.d" && printf "$PIN" >"$1/etc/apt/preferences.d/lab"' \
	--aptopt='Acquire::Check-Valid-Until "false"' \
	"$suite" "$made" >"$log" 2>&1; then
	tail -n 5 "$log" >&2
	fail "mmdebstrap could not make Debian $suite" "is a Debian mirror reachable? the whole log: $log"
fi
[ -x "$made/usr/sbin/asterisk" ] || fail "the new root file system has no Asterisk" "see $log"
chmod 755 "$made"
mv -T "$made" "$target"
trap - EXIT
echo "$target"
