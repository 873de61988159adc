#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# usage: bpftool_test [tracers]
#
# The commands of ronbus_trace(7), as they stand there, with plain tracefs and bpftool, or with perf
# and bpftrace: do they work, and do the numbers agree with the counters in fdinfo? Prints TAP. Needs
# nothing but a busybox. Without a bpftool its part is skipped; tracers have to be there if they are
# asked for.
#
# RONBUS_BPF names the directory with ronbus.bpf.o and exit_event (bpf, beside this one's).

here=$(cd "$(dirname "$0")" && pwd) || exit 1
bpf=${RONBUS_BPF:-$(dirname "$here")/bpf}
tracing=/sys/kernel/tracing
pins=/sys/fs/bpf/ronbus
maps=/sys/fs/bpf/ronbus_maps
tmp=$(mktemp -d) || exit 1
number=0 failed=0 bus_pid=

# shellcheck disable=SC2317 # the trap calls it
cleanup() {
	[ -z "$bus_pid" ] || kill "$bus_pid" 2>/dev/null
	rm -rf "$pins" "$maps" "$tmp"
}
trap cleanup EXIT

report() { # STATUS DESCRIPTION; what there is to say is in $tmp/out
	number=$((number + 1))
	if [ "$1" = 0 ]; then
		echo "ok $number $2"
	else
		echo "not ok $number $2"
		tail -n 30 "$tmp/out" | sed 's/^/# /'
		failed=$((failed + 1))
	fi
}
try() { # DESCRIPTION COMMAND...
	what=$1
	shift
	"$@" >"$tmp/out" 2>&1
	report $? "$what"
}
skip() { # DESCRIPTION REASON
	number=$((number + 1))
	echo "ok $number $1 # SKIP $2"
}
have() { command -v "$1" >/dev/null 2>&1; }

# Until a command succeeds, for 20 seconds.
await() {
	tries=0
	until "$@" >/dev/null 2>&1; do
		tries=$((tries + 1))
		[ $tries -lt 100 ] || { echo "no success: $*"; return 1; }
		sleep 0.2
	done
}

### A bus at work.

start_bus() {
	rm -f "$tmp/in" "$tmp/log"
	mkfifo "$tmp/in"
	: >"$tmp/log"
	"$here/bpftool_bus" <"$tmp/in" >"$tmp/log" 2>&1 &
	bus_pid=$!
	exec 9>"$tmp/in"
	await grep -q ready "$tmp/log"
}
rounds() { # N
	before=$(grep -c worked "$tmp/log")
	i=0
	while [ $i -lt "$1" ]; do
		echo >&9
		i=$((i + 1))
	done
	after=$((before + $1))
	await counted_to $after
}
counted_to() { [ "$(grep -c worked "$tmp/log")" = "$1" ]; }
end_bus() {
	exec 9>&-
	wait "$bus_pid"
	bus_pid=
}
# A counter of the whole bus: what RONBUS_IOC_STATS says.
counter() { sed -n "s/^bus_$1:\t//p" "/proc/$bus_pid/fdinfo/40"; }

### What is in the maps.

# All counters of one word, as "name value".
dumped() {
	bpftool map dump pinned $maps/buses |
		sed -n 's/^ *"\([a-z_]*_total\)": \([0-9]*\),*$/\1 \2/p'
}
as_in_stats() {
	cat "/proc/$bus_pid/fdinfo/40" >"$tmp/fdinfo" # a flush: the maps have the same now
	dumped >"$tmp/dumped"
	n=0
	while read -r name value; do
		n=$((n + 1))
		stats=$(sed -n "s/^bus_$name:\t//p" "$tmp/fdinfo")
		[ "$stats" = "$value" ] || { echo "$name: dumped $value, STATS $stats"; return 1; }
	done <"$tmp/dumped"
	[ $n -ge 15 ] || { echo "only $n counters:"; cat "$tmp/dumped"; return 1; }
}
dumped_is() { # NAME VALUE
	value=$(dumped | sed -n "s/^$1 //p")
	[ "$value" = "$2" ] || { echo "$1 is $value, not $2"; return 1; }
}

### Plain tracefs.

with_tracefs() {
	echo 1 >$tracing/events/ronbus/enable || return 1
	: >$tracing/trace
	rounds 2 || return 1
	echo 0 >$tracing/events/ronbus/enable
	cat $tracing/trace
	[ "$(grep -c ': ronbus_wake: .* name=bpftool-test .*cause=data ' $tracing/trace)" = 2 ] &&
		[ "$(grep -c ': ronbus_publish: .* count=9 ' $tracing/trace)" = 2 ]
}
# Histograms of the kernel's own.
with_hist() {
	[ -e $tracing/events/ronbus/ronbus_wake/hist ] || return 4
	echo 'hist:keys=name,cause:vals=hitcount,delay_ns' \
		>$tracing/events/ronbus/ronbus_wake/trigger || return 1
	rounds 3 || return 1
	cat $tracing/events/ronbus/ronbus_wake/hist
	grep -qE 'hitcount: +3 ' $tracing/events/ronbus/ronbus_wake/hist
	status=$?
	echo '!hist:keys=name,cause:vals=hitcount,delay_ns' \
		>$tracing/events/ronbus/ronbus_wake/trigger || return 1
	return $status
}

### bpftool.

load_all() {
	bpftool prog loadall "$bpf/ronbus.bpf.o" $pins autoattach pinmaps $maps
}
loaded_maps() {
	[ -e $maps/buses ] && [ -e $maps/subscribers ] && [ -e $maps/start ] &&
		[ "$(find $pins -type f | wc -l)" = 14 ]
}
shows_links() {
	bpftool link show >"$tmp/links" || return 1
	cat "$tmp/links"
	[ "$(grep -c "tp 'ronbus_" "$tmp/links")" = 14 ]
}
counts() {
	await test -n "$(bpftool map dump pinned $maps/buses)" || return 1
	rounds 5 || return 1
	as_in_stats
}
known_numbers() {
	total=$(counter published_total)
	# 10 messages a round, and of 9 at a time there is no room for one.
	[ "$total" = $((10 * $(grep -c worked "$tmp/log"))) ] || { echo "published $total"; return 1; }
	dumped_is published_total "$total" &&
		dumped_is notify_sends_total "$(grep -c worked "$tmp/log")"
}
two_subscribers() {
	bpftool map dump pinned $maps/subscribers
	[ "$(bpftool map dump pinned $maps/subscribers | grep -c '"key"')" = 2 ]
}
all_gone() {
	end_bus
	for map in buses subscribers; do
		bpftool map dump pinned $maps/$map
		bpftool map dump pinned $maps/$map | grep -q '"key"' && return 1
	done
	return 0
}
detached() {
	rm -r $pins $maps || return 1
	await none_loaded || return 1
}
none_loaded() { ! bpftool prog show name flush | grep -q .; }

# The first program alone, as "prog load" attaches it.
load_one() {
	bpftool prog load "$bpf/ronbus.bpf.o" $pins autoattach pinmaps $maps
}
tracelog() {
	: >$tracing/trace
	echo 1 >$tracing/events/ronbus/ronbus_wake/enable || return 1
	bpftool prog tracelog >"$tmp/tracelog" 2>&1 &
	pid=$!
	rounds 4 && await logged
	status=$?
	kill $pid
	wait $pid
	echo 0 >$tracing/events/ronbus/ronbus_wake/enable
	cat "$tmp/tracelog"
	return $status
}
logged() { [ "$(grep -c 'ronbus_wake: .*cause=data' "$tmp/tracelog")" = 4 ]; }

### The example.

exit_event() {
	"$bpf/exit_event" crasher sleeper >"$tmp/events" 2>&1 &
	pid=$!
	await grep -q watching "$tmp/events" || return 1
	# shellcheck disable=SC2016 # for the script
	printf '#!/bin/sh\nexit $1\n' >"$tmp/crasher"
	printf '#!/bin/sh\nwhile :; do sleep 1; done\n' >"$tmp/sleeper"
	chmod 755 "$tmp/crasher" "$tmp/sleeper"
	"$tmp/crasher" 0
	"$tmp/crasher" 3
	sh -c 'exit 7' # no service
	"$tmp/sleeper" &
	sleeper=$!
	await is_called $sleeper sleeper || return 1
	kill -9 $sleeper
	await told
	status=$?
	kill $pid
	wait $pid
	cat "$tmp/events"
	return $status
}
is_called() { [ "$(cat "/proc/$1/comm")" = "$2" ]; }
told() {
	printf 'watching\ncrasher: exit status 3\nsleeper: signal 9\n' | cmp -s - "$tmp/events"
}

### perf, bpftrace.

with_perf() {
	perf stat -a -x , -e ronbus:ronbus_wake -o "$tmp/perf" -- sh -c "
		echo >$tmp/in; sleep 3" || return 1
	cat "$tmp/perf"
	grep -q '^1,,ronbus:ronbus_wake' "$tmp/perf"
}
# Attached when it says so; on a signal it prints what it has.
with_bpftrace() {
	# shellcheck disable=SC2016 # its own notation
	bpftrace -e 'tracepoint:ronbus:ronbus_wake {
    @[args->name, args->cause] = count();
    @delay = hist(args->delay_ns); }' >"$tmp/bpftrace" 2>&1 &
	pid=$!
	tries=0
	until grep -qE 'Attaching|ERROR' "$tmp/bpftrace" || [ $tries = 100 ]; do
		tries=$((tries + 1))
		sleep 0.5
	done
	sleep 2
	rounds 3
	kill -INT $pid
	wait $pid
	cat "$tmp/bpftrace"
	grep -q '^@\[bpftool-test, 0\]: 3' "$tmp/bpftrace" || return 1
	[ "$(sed -n 's/^\[.*) *\([1-3]\) |@.*/\1/p' "$tmp/bpftrace" | sum)" = 3 ]
}
sum() { awk '{ n += $1 } END { print n + 0 }'; }

### All of it.

if [ ! -c /dev/ronbus ] || [ "$(id -u)" != 0 ]; then
	echo "1..0 # SKIP needs root and /dev/ronbus"
	exit 4
fi
[ -d $tracing/events ] || mount -t tracefs tracefs $tracing 2>/dev/null
[ -d $tracing/events/ronbus ] || { echo "1..0 # SKIP there is no tracefs"; exit 4; }
start_bus || { echo "Bail out! no bus: $(cat "$tmp/log")"; exit 1; }

if [ "${1-}" = tracers ]; then
	try "perf stat" with_perf
	try "bpftrace: count, and a histogram" with_bpftrace
	end_bus
	echo "1..$number"
	exit $failed
fi

try "tracefs: events" with_tracefs
with_hist >"$tmp/out" 2>&1
status=$?
if [ $status = 4 ]; then
	skip "tracefs: hist trigger" "this kernel has none"
else
	report $status "tracefs: hist trigger"
fi

if ! have bpftool || ! bpftool prog help 2>&1 | grep -q autoattach; then
	skip "bpftool" "there is none with autoattach: vm/bpftool --fetch"
elif [ ! -e "$bpf/ronbus.bpf.o" ]; then
	skip "bpftool" "there is no $bpf/ronbus.bpf.o: make -C bpf"
else
	grep -q ' /sys/fs/bpf bpf ' /proc/mounts || mount -t bpf bpf /sys/fs/bpf
	try "bpftool prog loadall autoattach pinmaps" load_all
	try "all programs and maps are pinned" loaded_maps
	try "bpftool link show" shows_links
	try "bpftool map dump: the counters are those of STATS" counts
	try "and are the known ones" known_numbers
	try "bpftool map dump of the subscribers" two_subscribers
	try "bpftool prog tracelog" tracelog
	try "entries are gone with the bus" all_gone
	try "rm detaches" detached
	start_bus
	try "bpftool prog load: the first program" load_one
	try "which has all counters" counts
	try "rm detaches it" detached
fi
if [ -x "$bpf/exit_event" ]; then
	try "the example: crashes are told" exit_event
else
	skip "the example" "there is no $bpf/exit_event: make -C bpf examples"
fi
end_bus
echo "1..$number"
[ $failed = 0 ]
