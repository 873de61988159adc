# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-only OR MIT
# What the scripts of bench/ share: where things are, messages, the command line, the module. Source
# it after 'set -eu -o pipefail'.
export LC_ALL=C

here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
top=$(dirname "$here")
# shellcheck disable=SC2034 # for the scripts
build=$top/build/bench

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
usage_error() { say "$* (see bench/${0##*/} --help)"; exit 2; }

# The comment at the beginning of a script is its help text.
help() { awk 'NR == 1 || /SPDX/ { next } !/^#/ { exit } { sub(/^# ?/, ""); print }' "$0"; }

# Sets a variable for each option of a command line. A SPEC is VARIABLE=OPTION and a sign: none for a
# flag, which becomes 1; ':' for an option with a value; '#' for one with a number from 1; '+' for one
# that may be repeated, whose variable is an array. Other arguments, and what follows --, go into the
# array 'arguments' if one of the SPECs is '@', and are refused otherwise.
# shellcheck disable=SC2178 # whether a variable is an array depends on its option
options() { # SPEC... -- ARGUMENT...
	local specs=() spec
	while [ "$1" != -- ]; do
		specs+=("$1")
		shift
	done
	shift
	arguments=()
	while [ $# -gt 0 ]; do
		case $1 in
		-h | --help) help; exit ;;
		esac
		for spec in "${specs[@]}" "=$1"; do
			case ${spec#*=} in "$1" | "$1"[:#+]) break ;; esac
		done
		if [ "$spec" = "=$1" ]; then
			[[ " ${specs[*]} " == *" @ "* && ($1 == -- || $1 != -*) ]] ||
				usage_error "unknown argument $1"
			[ "$1" = -- ] || { arguments+=("$1"); shift; continue; }
			arguments+=("${@:2}")
			return
		fi
		local -n variable=${spec%%=*}
		case $spec in
		*[:#+]) [ $# -gt 1 ] || usage_error "$1 wants a value" ;;&
		*:) variable=$2; shift ;;
		*'#')
			[[ $2 =~ ^[1-9][0-9]*$ ]] || usage_error "$1 wants a number, not '$2'"
			variable=$2
			shift
			;;
		*+) variable+=("$2"); shift ;;
		*) variable=1 ;;
		esac
		shift
	done
}

# The module for a kernel of the rig; made if it is not there, or is older than its sources.
module() { # KERNEL
	local ko=$top/build/module/$1/ronbus.ko log
	if [ ! -e "$ko" ] ||
		[ -n "$(find "$top"/{Kbuild,common,kmod,uapi} -newer "$ko" -print -quit)" ]; then
		log=$(make -s -C "$top" module KVER="$1" 2>&1) || {
			tail -n 20 <<<"$log" >&2
			return 1
		}
	fi
	echo "$ko"
}
