#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# usage: run.sh [-v] [-t SECONDS] [PROGRAM [ARGUMENT]...]
#
# Run the selftests that lie beside this script, or one of them, where
# /dev/ronbus is there, and print one KTAP stream: a test for each program,
# its cases below it. The last line counts the cases. Exits with 0 only if
# nothing failed.
#
#   -t SECONDS   time for a program (60)
#   -v           say which case runs
#
# Needs nothing but a busybox.

limit=60 verbose=0
while getopts t:v option; do
	case $option in
	t) limit=$OPTARG ;;
	v) verbose=1 ;;
	*) sed -n '3,/^$/s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
	esac
done
shift $((OPTIND - 1))

cd "$(dirname "$0")" || exit 1
if [ ! -c /dev/ronbus ]; then
	echo 'KTAP version 1'
	echo 'Bail out! no /dev/ronbus: load the module first'
	exit 1
fi

only=
if [ $# -gt 0 ]; then
	only=$(basename "$1")
	shift
fi
programs=
for program in ./*_test; do
	name=${program#./}
	[ -x "$program" ] || continue
	[ -z "$only" ] || [ "$name" = "$only" ] || continue
	programs="$programs $name"
done
[ -n "$programs" ] || { echo "${0##*/}: no such program: ${only:-*_test}" >&2; exit 2; }

# Those of a session that have not ended: each one's directory in /proc.
members() { # SESSION
	for process in /proc/[0-9]*; do
		{ read -r stat <"$process/stat"; } 2>/dev/null || continue
		# After the name: state, parent, group, session.
		# shellcheck disable=SC2086 # the words
		set -- "$1" ${stat##*) }
		[ "$2" = Z ] || [ "$5" != "$1" ] || echo "$process"
	done
}

# Where the threads of a process are; one that runs has no stack in /proc, only in the kernel's log.
where_it_is() { # DIRECTORY
	echo "# killed, and still there after $patience s:"
	for task in "$1"/task/[0-9]*; do
		sed 's/^/#   /' "$task/stat" "$task/stack"
	done 2>/dev/null
	echo l >/proc/sysrq-trigger
	sleep 1
	# shellcheck disable=SC2016 # the last line's address
	dmesg | sed -n '/sysrq: Show backtrace/h; //!H; ${x; s/\n/\n#   /g; s/^/#   /; p}'
}

# A program that runs out of time may leave children, in groups of their own. They would keep
# their buses, and what follows would fail.
patience=20
end_session() { # SESSION
	for second in $(seq 0 $patience); do
		left=$(members "$1")
		[ -n "$left" ] || return 0
		for process in $left; do
			kill -KILL "${process#/proc/}" 2>/dev/null
		done
		[ "$second" = 0 ] || sleep 1
	done
	for process in $left; do
		where_it_is "$process"
	done
	return 1
}

run() { # NAME [ARGUMENT]...
	name=$1
	shift
	# shellcheck disable=SC2016 # the inner shell's
	setsid sh -c 'echo $$ >"$0"; exec timeout -k 5 "$@"' "$session" "$limit" "./$name" "$@" 2>&1
	status=$?
	end_session "$(cat "$session")" || [ $status -ge 124 ] || status=125
	return $status
}

session=$(mktemp) || exit 1
trap 'rm -f "$session"' EXIT
{
	for name in $programs; do
		echo "@program $name"
		began=$(date +%s)
		run "$name" "$@" </dev/null
		status=$?
		echo "@end $status $(($(date +%s) - began))"
	done
	echo @all
} | awk -v verbose="$verbose" -v limit="$limit" -v plan="$(echo "$programs" | wc -w)" '
function say(line) { print line; fflush() }
BEGIN {
	say("KTAP version 1")
	say("1.." plan)
}
/^@program / {
	name = $2
	number++
	planned = -1
	seen = failed = skipped = 0
	running = reason = ""
	next
}
/^@end / {
	missing = planned > seen ? planned - seen : 0
	if (missing)
		say("  # " missing " cases did not run")
	# A program that fails without a case that does has one all the same.
	if ($2 != 0 && $2 != 4 && !failed && !missing)
		missing = 1
	why = ""
	if ($2 == 124 || $2 == 137 || $2 == 143)
		why = " # no result within " limit " s, in " running
	else if ($2 != 0 && $2 != 4 && !failed)
		why = " # exit status " $2 ", in " running
	failed += missing
	if (!failed && (!seen || seen == skipped)) {
		if (!skipped)
			skipped = 1
		why = " # SKIP " (reason ? reason : "no case ran")
	}
	say((failed ? "not ok " : "ok ") number " " name why)
	say("# " name ": " seen " cases, " $3 " s")
	all_passed += seen - (failed - missing) - skipped > 0 ? \
		seen - (failed - missing) - skipped : 0
	all_failed += failed
	all_skipped += skipped
	next
}
/^@all$/ { exit }
/^TAP version/ { say("  KTAP version 1"); next }
/^1\.\.[0-9]+/ {
	planned = substr($1, 4) + 0
	if (/# SKIP/)
		reason = substr($0, index($0, "# SKIP") + 7)
}
/^#  RUN / { running = $3; if (!verbose) next }
/^# +OK / { if (!verbose) next }
/^ok / {
	seen++
	if (/ # SKIP/) {
		skipped++
		reason = substr($0, index($0, "# SKIP") + 7)
		if (reason == "")
			say("  # the next one does not say why it skips")
	}
}
/^not ok / { seen++; failed++ }
{ say("  " $0) }
END {
	printf "# totals: %d passed, %d failed, %d skipped\n", all_passed, all_failed, all_skipped
	exit all_failed ? 1 : 0
}'
