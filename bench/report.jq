# SPDX-License-Identifier: LGPL-2.1-only OR MIT
# report.jq - what bench/report draws and prints, picked out of a result of ronbus-bench; and what
# other scripts need to read such results.
#
# Each function makes lines of fields between tabs. Where gnuplot draws several lines, they are
# blocks with a name each, two empty lines between them.

def fields: map(tostring) | join("\t");
def group($name): .cells[] | select(.group == $name and (has("skipped") | not));
def series($name): .series[] | select(.name == $name);
def block($name; rows): $name, (rows | fields), "", "";

# Of an array; between two values where it falls there.
def quantile($p):
	sort as $sorted | ($p * (length - 1)) as $at | ($at | floor) as $low
	| $sorted[$low] + ($at - $low) * (($sorted[$low + 1] // $sorted[$low]) - $sorted[$low]);

# Where a number of subscribers stands on the axis.
def place: {"0": 0, "1": 1, "4": 2, "16": 3, "64": 4}[tostring];

# A number as a person reads it.
def figure:
	if . == null then ""
	elif fabs >= 1000 then (round | tostring)
	else (. * 1000 | round / 1000 | tostring) end;
def interval: "\(.low | figure) to \(.high | figure)";
def percent: . * 1000 | round / 10;

# ---- lines and bars ------------------------------------------------------------------------

def matrix($set): group("matrix") | select(.parameters.features == $set);

# Blocks: features. Place, median, interval.
def by_features($op):
	. as $all
	| ("none", "metrics", "metrics+edge", "metrics+edge+batch", "recommended")
	| . as $set
	| block($set; $all | matrix($set)
		| select(.parameters.capacity == 64 and .parameters.payload == 32)
		| (.parameters.subscribers | place) as $place
		| series($op) | [$place, .median, .low, .high]);

# The baseline's, for the recommended set.
def frozen_publish:
	[.comparison.changes[]? | select(.series == "publish" and .ratio != 0
		and (.name | test("^matrix/recommended/cap64/pay32/")))
		| [(.name | capture("subs(?<n>[0-9]+)").n | place), .then]
		| select(.[1] > 0)] | sort[] | fields;

# Length or capacity, publish, receive; at 4 subscribers.
def by_geometry($of; $fixed; $value):
	[matrix("recommended")
		| select(.parameters.subscribers == 4 and .parameters[$fixed] == $value)
		| [.parameters[$of], (series("publish").median), (series("receive").median)]]
	| sort[] | fields;

# Messages a burst, subscribers, median, interval.
def bursts($way):
	[group("burst") | select(.name | contains("/\($way)/"))
		| .parameters as $p | series("publish")
		| [$p.burst, $p.subscribers, .median, .low, .high]]
	| sort_by(.[1], .[0])[] | fields;

# Engine, median; the fastest first.
def shape_a($readers):
	[group("shape-a") | select(.parameters.subscribers == $readers and .parameters.payload == 8)
		| [.engine, (series("cycle").median)]]
	| sort_by(.[1])[] | fields;

# Ours, then the fastest others.
def ours_first: map(select(.engine == "ronbus")) + map(select(.engine != "ronbus"))[:6] | .[];

# Blocks: engines. One over the share of messages that took longer, nanoseconds.
def shape_b($mode):
	[group("shape-b") | select(.name | startswith("shape-b/\($mode)/pay8/"))
		| {engine, all: series("oneway")}]
	| sort_by(.all.p50) | ours_first
	| (.all.histogram | map(.[1]) | add) as $total
	| block(.engine; foreach .all.histogram[] as $range ([0, 0];
		[$range[0], .[1] + $range[1]];
		select(.[1] < $total) | [$total / ($total - .[1]), .[0]]));

# Blocks: engines. Place, median.
def shape_c($what):
	[group("shape-c") | select(.parameters.subscribers > 0)
		| {engine, subs: .parameters.subscribers, median: series($what).median}]
	| group_by(.engine)
	| map({engine: .[0].engine, rows: ., four: (map(select(.subs == 4).median)[0] // 1e18)})
	| sort_by(.four) | ours_first
	| block(.engine; .rows | sort_by(.subs)[] | [(.subs | place), .median]);

# Subscribers, wake-ups of each a thousand messages, share that was spared.
def wakes($way):
	group("gates") | select(.name | test("A1/stream/subs[0-9]+/\($way)$"))
	| .parameters.subscribers as $subs | .counters
	| [$subs, 1000 * .bus_notify_sends_total / .bus_published_total / $subs,
		100 * .suppressed_share] | fields;

# Blocks: subscribers. Threshold, median, interval.
def flush:
	. as $all | (1, 4, 16) | . as $subs
	| block("\($subs)"; $all | group("gates")
		| select(.name | test("A4/rest/subs\($subs)/flush"))
		| .parameters.flush_threshold as $threshold
		| series("publish") | [$threshold, .median, .low, .high]);
def flush_off:
	group("gates") | select(.name == "gates/A4/rest/subs4/off") | series("publish").median;

# Place, name, value, interval, bound; 0 pass, 1 miss, 2 not to be told. From below.
def gains:
	[.gates[] | select(.kind == "gain")] | reverse | to_entries[]
	| [.key, .value.name, ([.value.value, -30] | max), ([.value.low, -30] | max),
		([.value.high, 100] | min), .value.bound,
		({"pass": 0, "miss": 1}[.value.result] // 2)]
	| fields;

# The same of a baseline: 0 improved, 1 regressed, 2 noise. What has a verdict, then the largest.
def shown_percent: 100 * (. - 1) | [., 300] | min;
def changes:
	[.comparison.changes[]? | select(.verdict | IN("improved", "regressed", "within noise"))
		| select(.value > 0)]
	| sort_by(.verdict == "within noise", -(.value | log | fabs))[:30] | reverse | to_entries[]
	| [.key, "\(.value.name) \(.value.series)", (.value.value | shown_percent),
		(.value.low | shown_percent), (.value.high | shown_percent),
		({"improved": 0, "regressed": 1}[.value.verdict] // 2)]
	| fields;

# ---- tables --------------------------------------------------------------------------------

def count($result): [.gates[] | select(.result == $result and .kind != "aim")] | length;
def heading:
	"<p>Measured \(.date) on \(.machine.transport), version \(.machine.ronbus), "
	+ (if .settings.quick then "quickly" else "in full" end)
	+ ", \(.settings.turns) turns. Gates: \(count("pass")) passed, \(count("miss")) missed, "
	+ "\(count("unsure")) not to be told.</p>";

def machine:
	.machine | to_entries[] | select(.key != "identity")
	| [.key, (.value
		| if type == "object" then to_entries | map("\(.key): \(.value)") | join("; ")
		elif type == "array" then map(tostring) | join(", ")
		else tostring end)]
	| fields;

def judged:
	.gates[] | select(.kind != "info" and .kind != "peer")
	| [.name, .series, .kind, (.value | figure), interval, (.bound | figure), .result, .note]
	| fields;
def comparisons:
	.gates[]
	| [.name, .series, .kind, (.value | figure), interval, (.on_value | figure),
		(.off_value | figure), .result, .note]
	| fields;

def changes_heading:
	"<h2>Changes since baseline \(.comparison.baseline)</h2>",
	"<p>Noise is taken to be \([.comparison.changes[].threshold | select(. > 0)] | "\(min | percent) to \(max | percent)") %, by the kind of cell.</p>";
def all_changes:
	.comparison.changes[]
	| [.name, .series, (.then | figure), (.now | figure), "\(.value - 1 | percent) %",
		"\(.low - 1 | percent) to \(.high - 1 | percent)", .verdict]
	| fields;

def engines:
	[.cells[] | select(.version != "") | [.engine, .version]] | unique[] | fields;

def groups:
	(reduce .cells[].group as $g ([]; if index($g) then . else . + [$g] end))[];
def cells($group):
	.cells[] | select(.group == $group) | . as $cell
	| if has("skipped") then [.name, "", "", "", "", "", "", "", "", "", "skipped: \(.skipped)"]
	else .series[]
		| [$cell.name, .name, (.median | figure), interval, .unit, (.p95 | figure),
			(.p99 | figure), "\(.outliers | add) of \(.samples)",
			($cell.counters.bus_notify_sends_total | figure),
			($cell.counters.suppressed_share | if . then . * 100 else . end | figure),
			(if $cell.counters then "drops \($cell.counters.bus_dropped_total), "
				+ "lag \($cell.counters.bus_overflow_dropped_total)" else "" end)]
	end | fields;
