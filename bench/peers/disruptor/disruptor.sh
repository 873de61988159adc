#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only OR MIT
# Starts Disruptor.java's program. No collector of garbage with threads of its own: there is no
# garbage to speak of; and no file in /tmp for those who watch virtual machines.
classes=$(dirname "$(dirname "$(realpath "$0")")")/disruptor
exec java -XX:+UseSerialGC -XX:-UsePerfData -Xmx64m \
	-cp "$classes:/usr/share/java/disruptor.jar" Disruptor "$@"
