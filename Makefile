# How to build, test and try Mediated. `make` alone lists what there is.
#
# Every target can be called again at any time, and sets up what it needs: Debian packages only when they are missing
# (Lab/packages.txt), and the lab, QEMU with guests, in the user's cache (Lab/README.md).

SHELL := /bin/bash
.DELETE_ON_ERROR:
.NOTPARALLEL:

PREFIX ?= /usr/local
# How long `make fuzz` runs each fuzzer.
SECONDS ?= 60
# Where `make demo` writes the picture of the guest's screen.
PICTURE ?= demo.png

SWIFT := swift
# What the formatter looks at: folders of Swift sources, as far as there are such.
SOURCES := $(wildcard Package.swift Sources Tests Testing Examples Fuzz Benchmarks)
GUEST_TESTS := GuestTests

.PHONY: help
help: ## List the targets
	@sed -nE 's/^([a-z]+):[^#]*## (.*)/  make \1\t\2/p' Makefile | expand -t 18

.PHONY: demo
demo: packages lab release ## Start a vGPU, boot a guest with it, write its screen to demo.png
	@Scripts/demo "$$($(SWIFT) build -c release --show-bin-path)" $(PICTURE)

.PHONY: test
test: packages lab lint ## Run every test, those with guests included
	@Scripts/step 'Building the program and its tests (2 to 5 minutes the first time)' $(SWIFT) build --build-tests
	@$(SWIFT) test --skip-build --disable-xctest

.PHONY: lint
lint: ## Check the format of all Swift sources
	@Scripts/step 'Checking the format of $(SOURCES)' $(SWIFT) format lint --strict --recursive --parallel $(SOURCES)

.PHONY: build
build: packages ## Build for debugging
	@$(SWIFT) build

.PHONY: release
release: packages ## Build optimized
	@Scripts/step 'Building Mediated, optimized (1 to 3 minutes the first time)' $(SWIFT) build -c release

.PHONY: install
install: release ## Install mediated and mediated-device below PREFIX (/usr/local)
	@Scripts/install "$$($(SWIFT) build -c release --show-bin-path)" "$(DESTDIR)$(PREFIX)"

.PHONY: bench
bench: packages ## Measure
	@$(SWIFT) run -c release --package-path Benchmarks

.PHONY: fuzz
fuzz: packages ## Run each fuzzer for SECONDS (60)
	@Fuzz/run $(SECONDS)

.PHONY: asan
asan: packages ## Run the tests, but for guests, under AddressSanitizer
	@$(SWIFT) test --disable-xctest --sanitize=address --scratch-path .build-asan --skip '^$(GUEST_TESTS)'

.PHONY: tsan
tsan: packages ## Run the tests, but for guests, under ThreadSanitizer
	@$(SWIFT) test --disable-xctest --sanitize=thread --scratch-path .build-tsan --skip '^$(GUEST_TESTS)'

.PHONY: docs
docs: packages ## Write the modules' documentation to docs/
	@Scripts/docs docs

.PHONY: lab
lab: packages ## Bring QEMU, kernels and guest images into the cache
	@Scripts/step 'Bringing the lab: QEMU, kernels and guest images (1 minute the first time)' Lab/setup

.PHONY: packages
packages: ## Install the Debian packages that are missing
	@Scripts/packages Lab/packages.txt

.PHONY: clean
clean: ## Remove what was built here; the lab's cache stays
	rm -rf .build .build-asan .build-tsan Benchmarks/.build docs demo.png
