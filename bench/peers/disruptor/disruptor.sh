#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only OR MIT
# Starts the program of Disruptor.java: with the garbage collector that has no threads of its own, since
# there is hardly any garbage, and without the file in /tmp that tools for virtual machines read.
classes=$(dirname "$(dirname "$(realpath "$0")")")/disruptor
exec java -XX:+UseSerialGC -XX:-UsePerfData -Xmx64m \
	-cp "$classes:/usr/share/java/disruptor.jar" Disruptor "$@"
