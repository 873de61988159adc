# SPDX-License-Identifier: GPL-2.0
# ronbus: what there is to make. 'make help' has what a newcomer needs (###), 'make help-all' the
# rest (##).
#
# The kernel's own build reads Kbuild, not this file.
MAKEFLAGS += --no-builtin-rules --no-print-directory
PREFIX ?= /usr/local
DESTDIR ?=

# KVER names a kernel of the rig (vm/kernels); without it the running one is built for.
ifdef KVER
KDIR = $(CURDIR)/build/kernels/$(KVER)/headers
MODULE := build/module/$(KVER)
else
KDIR = /lib/modules/$(shell uname -r)/build
MODULE := build/module/$(shell uname -r)
endif

.PHONY: all
all: userlib examples ### the library and the examples (and the module: make module)

.PHONY: module
# Each kernel has its copy of the sources, since a kernel's build leaves its objects beside them.
module: ### the module for the running kernel, or for KVER=6.1, KVER=6.12: build/module/*/ronbus.ko
	@tools/deps build
	@$(if $(KVER),vm/kernel $(KVER) >/dev/null)
	@test -e $(KDIR)/Makefile || { \
		echo "make: no kernel headers in $(KDIR): install linux-headers-$$(uname -r)," \
		     "or build for a kernel of the rig with KVER=6.12" >&2; exit 1; }
	@mkdir -p $(MODULE)
	@cp -rup Kbuild common kmod uapi $(MODULE)/
	$(MAKE) -C $(KDIR) M=$(CURDIR)/$(MODULE) $(MODFLAGS) modules
	@vm/btf $(or $(KVER),running) $(MODULE)/ronbus.ko

.PHONY: userlib
userlib: ## libronbus, shared and static: build/userlib
	@tools/deps build
	$(MAKE) -C userlib

.PHONY: examples
examples: userlib ## example programs: build/examples
	$(MAKE) -C examples

.PHONY: bpf
bpf: userlib ## BPF programs, ronbus-exporter, ronbus-top: build/
	@tools/deps build bpf
	$(MAKE) -C bpf all examples
	$(MAKE) -C bpf/exporter
	$(MAKE) -C bpf/top

.PHONY: selftests
selftests: ## kselftests of the module: build/selftests; run them with make -C selftests run_tests
	@tools/deps build check bpf
	$(MAKE) -C selftests

.PHONY: demo
demo: ### see it work, with real events of this machine
	@tools/demo

.PHONY: check
check: ### build and test everything, on two kernels; STEPS="name..." for a part of it
	@tools/check $(STEPS)

.PHONY: check-debug
check-debug: ## the selftests on debug and real-time kernels, with faults and coverage: hours
	@tools/check --debug $(STEPS)

.PHONY: coverage
coverage: ## lines of kmod/ that the selftests reach
	@tools/coverage

.PHONY: soak
soak: ## look for lost wake-ups: 100 million publishes here, 10 minutes on each of two kernels
	@tools/soak $(SOAKFLAGS)

.PHONY: fuzz
fuzz: userlib bpf ## fuzz the ring, the library and every parser, FUZZ_SECONDS (60) each; see tools/fuzz
	$(MAKE) -C tools/fuzz/user fuzz

.PHONY: fuzz-kernel
fuzz-kernel: ## fuzz the module under KASAN, by threads that are held up, for FUZZ_SECONDS (300)
	@tools/fuzz-kernel $(FUZZFLAGS)

.PHONY: stress
stress: ## kill and scribble for 10 minutes on each of two kernels, and count what is left
	@tools/stress $(STRESSFLAGS)

.PHONY: baseline
baseline: ## the cost of publishing and receiving beside tokio's broadcast
	@$(MAKE) -s -C bench baseline

.PHONY: bench
bench: ## measure in some minutes, beside peers: build/bench/report/index.html; BASELINE=NAME compares
	@bench/report $(if $(BASELINE),--baseline $(BASELINE)) $(BENCHFLAGS)

.PHONY: bench-full
bench-full: ## measure everything, a quarter of an hour
	@bench/report --full $(if $(BASELINE),--baseline $(BASELINE)) $(BENCHFLAGS)

.PHONY: load
load: module ### load the module: insmod
	insmod $(MODULE)/ronbus.ko

.PHONY: unload
unload: ## unload the module: rmmod
	rmmod ronbus

.PHONY: install
install: userlib ### library, headers, man pages below PREFIX; module too with: make modules_install
	$(MAKE) -C userlib install PREFIX=$(PREFIX) DESTDIR=$(DESTDIR)
	for section in 1 3 4 7 8; do \
		install -d $(DESTDIR)$(PREFIX)/share/man/man$$section; \
		install -m 644 docs/man/*.$$section $(DESTDIR)$(PREFIX)/share/man/man$$section/; \
	done

.PHONY: modules_install
modules_install: module ## the module, into the running kernel's directory
	$(MAKE) -C $(KDIR) M=$(CURDIR)/$(MODULE) modules_install

.PHONY: clean
clean: ## what was built; the kernels of the rig stay (make distclean)
	rm -rf build/module build/userlib* build/examples build/selftests build/bench build/model \
	       build/fuzz/user build/fuzz/kernel build/fuzz/run-* build/check build/bpf build/exporter* build/top*

.PHONY: distclean
distclean: ## everything that was built or fetched
	rm -rf build

.PHONY: packages
packages: ## the Debian packages that tools/deps installs, and what each is for
	@tools/deps --list

help_lines = sed -nE 's/^([a-z_-]+):[^\#]*\#$(1)\# (.*)/  \1\t\2/p' Makefile | expand -t 20

.PHONY: help
help: ## this, in short
	@$(call help_lines,\#)
	@echo "The rest: make help-all"

.PHONY: help-all
help-all: ## this, with all targets
	@$(call help_lines,\#?)
