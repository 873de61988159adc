# SPDX-License-Identifier: LGPL-2.1-only OR MIT
# shellcheck shell=sh
# For tests in shell, which source this: what they find, as TAP.
#
#   tell STATUS WHAT [FILE]   a test; what is in FILE is shown if it failed
#   tell_program PROGRAM      a test of its own, with its output; LIMIT: seconds it may take (200)
#   tell_all                  says what failed; exits with 0 if nothing did

failed=

tell() {
	if [ "$1" -eq 0 ]; then
		echo "ok - $2"
	else
		echo "not ok - $2"
		[ -z "${3-}" ] || sed 's/^/# /' "$3"
		failed="$failed, $2"
	fi
}

tell_program() {
	echo "# ${1##*/}"
	CMOCKA_MESSAGE_OUTPUT=TAP timeout "${LIMIT:-200}" "$1" 2>&1
	set -- $? "${1##*/}"
	[ "$1" -ne 124 ] || echo "# no end after ${LIMIT:-200} s"
	tell "$1" "$2"
}

tell_all() {
	if [ -n "$failed" ]; then
		echo "# failed: ${failed#, }"
		exit 1
	fi
	echo "# all passed"
}
