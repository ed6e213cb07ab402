# Everything that can be done here, one command each. `make` alone lists them.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c

SWIFT ?= swift
PREFIX ?= /usr/local
PROGRAMS := mediated mediated-daemon mediated-device mediated-renderer mediated-bridge
FUZZ_SECONDS ?= 180
NEIGHBOUR_SECONDS ?= 60
SOURCES := Sources Tests Testing Examples Fuzz/Sources Benchmarks/Sources Package.swift

help: ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

setup: ## Install the Debian packages that are missing, and name versions other than those tested with
	@Scripts/install-packages packages.txt
	@command -v $(SWIFT) >/dev/null || { echo "There is no '$(SWIFT)' here: install the Swift 6.3 toolchain (swift.org/install), or give SWIFT=PATH." >&2; exit 1; }
	@SWIFT=$(SWIFT) Scripts/versions --warn

lab: setup ## Bring QEMU 11, kernels and a guest into the cache folder
	@Lab/setup

build: setup ## Build everything, for debugging
	$(SWIFT) build

release: setup manual completions ## Build the programs for use, manual pages, completions of shells

# With Swift's library inside, so that they run where there is no Swift. What the dynamic linker has written is
# read-only from then on: GNU's linkers leave that out, for the order in which Swift's sections come.
programs:
	for program in $(PROGRAMS); do \
	    $(SWIFT) build -c release --static-swift-stdlib -Xswiftc -use-ld=lld -Xlinker -znow --product $$program; \
	done

manual: programs
	rm -rf .build/manual
	Scripts/manual .build/release/mediated .build/manual
	Scripts/manual --section 8 .build/release/mediated-daemon .build/manual

# That of bash is read by a shell, not run: it needs no interpreter line.
completions: programs
	mkdir -p .build/completions
	for shell in bash zsh fish; do \
	    .build/release/mediated --generate-completion-script $$shell >.build/completions/$$shell; \
	done
	sed -i '1{/^#!/d}' .build/completions/bash

install: release ## Install programs, manual, completions and documents below PREFIX (/usr/local)
	@Scripts/install "$(DESTDIR)$(PREFIX)" "$(PREFIX)"

uninstall: ## Remove what `make install` has put below PREFIX
	@Scripts/uninstall "$(DESTDIR)$(PREFIX)"

deb: ## Build a package for Debian: .build/deb/mediated_*.deb
	@Scripts/install-packages packages.txt packages-deb.txt
	@SWIFT=$(SWIFT) Scripts/package

check-deb: deb ## Install, use and remove the package in a fresh Debian (root only)
	@Scripts/check-package .build/deb/mediated_*.deb

check-units: setup ## Have systemd check the units that `make install` installs
	@Scripts/check-units "$(PREFIX)"

lint: ## Check the format of every source file
	$(SWIFT) format lint --strict --recursive $(wildcard $(SOURCES))

check: setup ## Run what takes minutes, for each change: format, units, build, tests without guests
	@SWIFT=$(SWIFT) Scripts/test --check

test: setup ## Run everything: what `make check` does, the fuzzers for FUZZ_SECONDS (180), guests
	@SWIFT=$(SWIFT) FUZZ_SECONDS=$(FUZZ_SECONDS) Scripts/test

check-fresh: ## Run README's commands in a Debian that has nothing but the toolchain (root only; an hour or two)
	@Scripts/install-packages packages.txt packages-deb.txt
	@SWIFT=$(SWIFT) Scripts/check-fresh

recordings: lab ## Record anew what real drivers do in the lab's guests, for the tests that replay it
	$(SWIFT) build --build-tests
	MEDIATED_RECORDINGS=$(CURDIR)/Tests/Tools/ReplayTests/Recordings $(SWIFT) test --skip-build --disable-xctest --filter whatADriverDoesLivesAgain

demo: lab build ## Boot a guest on a virtual GPU and take its picture: demo.png
	@Scripts/demo

asan: setup ## Run the tests under AddressSanitizer (guests excepted)
	LSAN_OPTIONS=suppressions=$(CURDIR)/Scripts/leaks.supp:print_suppressions=0 $(SWIFT) test --disable-xctest --sanitize address --scratch-path .build-asan --skip GuestTests --skip CommandTests --skip SandboxTests --skip NeighbourTests

tsan: setup ## Run the tests under ThreadSanitizer (guests excepted)
	TSAN_OPTIONS=suppressions=$(CURDIR)/Scripts/races.supp $(SWIFT) test --disable-xctest --sanitize thread --scratch-path .build-tsan --skip GuestTests --skip CommandTests --skip SandboxTests --skip NeighbourTests

bench: setup programs ## Measure against the floor, a bare socket, and QEMU's own displays; takes minutes and wants a quiet machine
	@Lab/setup --bench
	$(SWIFT) run -c release --package-path Benchmarks bench
	Benchmarks/guests

scale: setup programs ## Measure a daemon with 100 vGPUs, 32 of which run
	@Scripts/scale

xen: lab ## Run all that has to do with Xen, with both versions and Debian's own domains: tens of minutes
	@Lab/setup --xen
	$(SWIFT) build --build-tests
	MEDIATED_XEN=all $(SWIFT) test --skip-build --disable-xctest --filter XenTests --filter DriverTests

xen-figures: lab ## Count what a device process executes for an access under Xen
	for program in mediated-device XenFloor XenProbe XenFigures; do \
	    $(SWIFT) build -c release --static-swift-stdlib --product $$program; \
	done
	.build/release/XenFigures

neighbours: setup ## Attack a device process for NEIGHBOUR_SECONDS (60), and say what its neighbour felt
	$(SWIFT) build --build-tests
	NEIGHBOUR_SECONDS=$(NEIGHBOUR_SECONDS) $(SWIFT) test --skip-build --disable-xctest --filter NeighbourTests | grep -E '^neighbour:|recorded an issue|Test run'

fuzz: setup ## Run the fuzzers for FUZZ_SECONDS (180)
	@Fuzz/run $(FUZZ_SECONDS)

fuzz-long: setup ## Run the fuzzers for eight hours, and keep the fewest inputs that cover as much
	@Fuzz/run 28800

docs: setup ## Write the modules' reference to docs/, for a browser
	@SWIFT=$(SWIFT) Scripts/document docs

clean: ## Remove what was built here
	rm -rf .build .build-asan .build-tsan .build-docs Benchmarks/.build Fuzz/.build docs demo.png

.PHONY: help setup lab build release programs manual completions install uninstall deb check-deb check-fresh check-units lint check test demo asan tsan bench scale xen xen-figures neighbours fuzz fuzz-long docs clean
