# Everything that can be done here, one command each. `make` alone lists them.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c

SWIFT ?= swift
PREFIX ?= /usr/local
FUZZ_SECONDS ?= 60
NEIGHBOUR_SECONDS ?= 60
SOURCES := Sources Tests Testing Examples Fuzz/Sources Benchmarks/Sources Package.swift

help: ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 18

setup: ## Install the Debian packages that are missing
	@Scripts/install-packages
	@command -v $(SWIFT) >/dev/null || { echo "There is no '$(SWIFT)' here: install the Swift 6.3 toolchain (swift.org/install), or give SWIFT=PATH." >&2; exit 1; }

lab: setup ## Bring QEMU 11, kernels and a guest into the cache folder
	@Lab/setup

build: setup ## Build everything, for debugging
	$(SWIFT) build

release: setup ## Build the two programs for use
	$(SWIFT) build -c release --product mediated
	$(SWIFT) build -c release --product mediated-device -Xswiftc -static-stdlib --scratch-path .build-device

install: release ## Install the two programs below PREFIX
	install -D -m 0755 .build/release/mediated $(DESTDIR)$(PREFIX)/bin/mediated
	install -D -m 0755 .build-device/release/mediated-device $(DESTDIR)$(PREFIX)/libexec/mediated-device

lint: ## Check the format of every source file
	$(SWIFT) format lint --strict --recursive $(wildcard $(SOURCES))

test: setup lint lab ## Set up, build, fuzz for a while, and run every test, guests included
	@Fuzz/run $(FUZZ_SECONDS)
	$(SWIFT) build --build-tests
	$(SWIFT) test --skip-build --disable-xctest

demo: lab build ## Boot a guest on a virtual GPU and take its picture: demo.png
	@Scripts/demo

asan: setup ## Run the tests under AddressSanitizer (guests excepted)
	LSAN_OPTIONS=suppressions=$(CURDIR)/Scripts/leaks.supp:print_suppressions=0 $(SWIFT) test --disable-xctest --sanitize address --scratch-path .build-asan --skip GuestTests --skip CommandTests --skip NeighbourTests

tsan: setup ## Run the tests under ThreadSanitizer (guests excepted)
	$(SWIFT) test --disable-xctest --sanitize thread --scratch-path .build-tsan --skip GuestTests --skip CommandTests --skip NeighbourTests

bench: setup ## Measure against the floor, a bare socket; takes minutes and wants a quiet machine
	$(SWIFT) build -c release --product mediated-device --static-swift-stdlib
	$(SWIFT) run -c release --package-path Benchmarks bench

neighbours: setup ## Attack a device process for NEIGHBOUR_SECONDS (60), and say what its neighbour felt
	$(SWIFT) build --build-tests
	NEIGHBOUR_SECONDS=$(NEIGHBOUR_SECONDS) $(SWIFT) test --skip-build --disable-xctest --filter NeighbourTests | grep -E '^neighbour:|recorded an issue|Test run'

fuzz: setup ## Run each fuzzer for FUZZ_SECONDS (60)
	@Fuzz/run $(FUZZ_SECONDS)

docs: setup ## Write the modules' reference to docs/, for a browser
	@SWIFT=$(SWIFT) Scripts/document docs

clean: ## Remove what was built here
	rm -rf .build .build-device .build-asan .build-tsan .build-docs Benchmarks/.build Fuzz/.build docs demo.png

.PHONY: help setup lab build release install lint test demo asan tsan bench neighbours fuzz docs clean
