# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
# Shared by the scripts in this directory: where things live and how to
# complain. Source it after `set -eu -o pipefail`.

vm_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
top=$(dirname "$vm_dir")
build=$top/build
# Downloads and whatever is unpacked from them. Several checkouts may share
# one cache; the stable names below build/ then point into it.
cache=${RONBUS_CACHE:+$(realpath -m "$RONBUS_CACHE")}
cache=${cache:-$build}
# shellcheck disable=SC2034 # the kernel vm/run and vm/btf use when not told
default_kernel=6.12

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$*"; exit 1; }
usage_error() { say "$*"; exit 2; }

need() { # PROGRAM GROUP
	command -v "$1" >/dev/null 2>&1 ||
		die "'$1' is missing; run: tools/deps $2"
}

# The text of a script's leading comment is its help text.
help() {
	awk 'NR == 1 || /SPDX/ { next } !/^#/ { exit } { sub(/^# ?/, ""); print }' "$0"
}

# Run the rest of the script as the only holder of lock NAME.
only_one() { # NAME
	mkdir -p "$cache"
	exec {lock_fd}>"$cache/.lock-$1"
	flock -n "$lock_fd" || {
		say "waiting for another ${0##*/} to finish"
		flock "$lock_fd"
	}
}

# Where NAME is or will be: in the cache, unless build/ has one of its own.
place() { # NAME
	[ -e "$build/$1" ] || rm -f "$build/$1" # a link into a cache that is gone
	if [ -d "$build/$1" ] && [ ! -L "$build/$1" ]; then
		echo "$build/$1"
	else
		echo "$cache/$1"
	fi
}

# A stable name below build/ for what lies in the cache.
link_from_build() { # NAME
	[ "$(place "$1")" != "$build/$1" ] || return 0
	mkdir -p "$(dirname "$build/$1")"
	ln -sfn "$cache/$1" "$build/$1"
}

# Download packages into the current directory; nothing is installed. Stale
# package lists are the usual reason for a failure, so refresh them once.
download() { # PACKAGE...
	apt_get download "$@" >/dev/null 2>&1 && return
	refresh_lists
	apt_get download "$@" 2>&1 | tail -n 3 >&2 ||
		die "cannot download: $* (network? package mirror?)"
}

# Without root there is no sandbox user to switch to, with root that user
# could not write to our directory: keep the sandbox out of it.
apt_get() {
	LC_ALL=C apt-get -qq -o APT::Sandbox::User=root \
		-o DPkg::Lock::Timeout=300 "$@"
}

refresh_lists() {
	[ "$(id -u)" = 0 ] ||
		die "the package lists are missing or stale; run as root: apt-get update"
	say "refreshing the package lists"
	apt_get update >&2 || die "apt-get update failed"
}

# Candidate version of a package and its dependencies, one per line and
# without versions or alternatives.
candidate() { # PACKAGE FIELD
	LC_ALL=C apt-cache show --no-all-versions "$1" 2>/dev/null |
		sed -n "s/^$2: //p" | head -n 1
}
depends() { # PACKAGE
	candidate "$1" Depends | tr ',' '\n' | sed 's/^ *//; s/[ |].*//'
}

at_least() { # VERSION VERSION: whether the second is as new as the first
	[ "$(printf '%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]
}

# Unpack a package from the backports suite of the archive this machine uses
# already into DIRECTORY, with those of its dependencies that are not
# installed. Nothing is installed and apt's configuration stays as it is.
# Prints why it cannot be.
backport() { # PACKAGE DIRECTORY
	local codename source uri keyring suite deb apt tmp=$2.tmp
	# The archive that serves this release's main component serves its
	# backports too.
	codename=$(. /etc/os-release && echo "${VERSION_CODENAME-}")
	# shellcheck disable=SC2016 # apt's own notation
	source=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT) $(SIGNED_BY)' \
		'Created-By: Packages' 'Label: Debian' 2>/dev/null |
		awk -v release="$codename" '$2 == release && $3 == "main" { print $1, $4; exit }')
	[ -n "$source" ] || { echo "no Debian archive for '$codename' in apt's sources"; return 1; }
	uri=${source% *} keyring=${source#* }
	[ -r "$keyring" ] || keyring=/usr/share/keyrings/debian-archive-keyring.gpg

	rm -rf "$tmp"
	mkdir -p "$tmp"/{lists,archives/partial,root}
	for suite in "$codename" "$codename-backports"; do
		echo "deb $([ ! -r "$keyring" ] || echo "[signed-by=$keyring]") $uri $suite main"
	done >"$tmp/sources.list"
	# Lists and downloads of our own; only what dpkg says is installed is
	# the machine's, so that just what is missing is fetched.
	apt=(env LC_ALL=C apt-get -qq -o APT::Sandbox::User=root -o Debug::NoLocking=1
		-o Dir::Etc::SourceList="$tmp/sources.list" -o Dir::Etc::SourceParts=/dev/null
		-o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null
		-o Dir::State::Lists="$tmp/lists" -o Dir::Cache::Archives="$tmp/archives"
		-o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
		-o Acquire::Languages=none)
	if ! "${apt[@]}" update --error-on=any >"$tmp/log" 2>&1; then
		echo "cannot read $codename-backports: $(head -n 1 "$tmp/log")"
	elif ! "${apt[@]}" install --yes --download-only --no-install-recommends \
		-t "$codename-backports" "$1" >"$tmp/log" 2>&1; then
		echo "cannot fetch $1: $(head -n 1 "$tmp/log")"
	else
		for deb in "$tmp"/archives/*.deb; do
			dpkg-deb -x "$deb" "$tmp/root"
		done
		rm -rf "$2"
		mv "$tmp/root" "$2"
		rm -rf "$tmp"
		return 0
	fi
	rm -rf "$tmp"
	return 1
}
