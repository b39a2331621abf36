# Everything sets itself up: a virtual environment, Debian packages, the CRIU bundle, chrek-init.
# What can be shared between checkouts is kept under ${XDG_CACHE_HOME:-~/.cache}/chrek.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/chrek
BUNDLE := $(CACHE)/criu/bundle
KUBERNETES := $(CACHE)/kubernetes
POLICY := /usr/sbin/policy-rc.d
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export CHREK_CRIU_BUNDLE := $(BUNDLE)
SCRIPTS = $(shell git grep -lE '^\#!/usr/bin/env bash' -- ':!*.md')

# $(call debian,COMMANDS,PACKAGES): install PACKAGES unless every one of COMMANDS is there.
# While that lasts, a package that brings a daemon may not start it.
define debian
	missing=(); for name in $(1); do command -v "$$name" >/dev/null || missing+=("$$name"); done; \
	if (( $${#missing[@]} )); then \
	  if (( EUID )); then echo "$${missing[*]} missing: as root, apt-get install $(2)" >&2; exit 3; fi; \
	  echo "installing Debian packages: $(2)"; \
	  if [[ ! -e $(POLICY) ]]; then \
	    trap 'rm -f $(POLICY)' EXIT; printf '#!/bin/sh\nexit 101\n' >$(POLICY); chmod 755 $(POLICY); \
	  fi; \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
	    apt-get install -y -qq --no-install-recommends $(2); } >$(CACHE)/apt.log 2>&1 \
	    || { tail -5 $(CACHE)/apt.log >&2; exit 1; }; \
	fi
endef

.PHONY: help
help: ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: able
able:
	@[[ $$(uname -s) == Linux ]] || { echo "chrek needs Linux: use a Linux machine or virtual machine." >&2; exit 3; }
	@(( EUID == 0 )) || { echo "chrek enters containers and so must be root: run this with sudo." >&2; exit 3; }
	@mkdir -p $(CACHE)

$(VENV)/.ready: pyproject.toml
	@mkdir -p $(CACHE)
	@$(call debian,$(PYTHON),python3)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "chrek needs Python 3.11 or newer: set PYTHON=..." >&2; exit 3; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { $(call debian,chrek-has-no-ensurepip,python3-venv); }
	@echo "making the virtual environment"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -e '.[dev]'
	@touch $@

.PHONY: venv
venv: $(VENV)/.ready ## the virtual environment

.PHONY: bundle
bundle: $(VENV)/.ready ## the CRIU bundle
	@mkdir -p $(CACHE)/criu
	@$(call debian,apt-get dpkg-deb,apt dpkg)
	@agent/criu/build-bundle $(BUNDLE)

.PHONY: init
init: ## chrek-init, static
	@mkdir -p $(CACHE)
	@$(call debian,gcc musl-gcc make,gcc musl-tools make)
	@$(MAKE) --no-print-directory -s -C agent/init

.PHONY: tools
tools:
	@mkdir -p $(CACHE)
	@$(call debian,runc ip nsenter unshare,runc iproute2 util-linux)

.PHONY: setup
setup: able tools bundle init ## everything that running chrek needs

.PHONY: demo
demo: setup ## the main job, on this machine
	@$(BIN)/python -m chrek.demo

# WORKERS=4: so many processes; tests/side_by_side.py says what stays together, and the order.
SIDE_BY_SIDE := $(if $(WORKERS),-n $(WORKERS) --dist loadscope --no-loadscope-reorder)

# What needs Kubernetes' own programs, be it the API server alone.
CLUSTER := tests/cluster tests/images tests/collect tests/report
# With targets of their own.
OTHERS := $(CLUSTER) tests/survival tests/chaos tests/gpu tests/vm

.PHONY: test-tools
test-tools:
	@mkdir -p $(CACHE)
	@$(call debian,/usr/bin/python3 node setpriv readelf gcc docker-registry containerd ctr redis-server,python3 nodejs util-linux binutils gcc docker-registry containerd redis-server)

.PHONY: helm
helm: $(VENV)/.ready ## helm, kubectl and Kubernetes' schemas
	@tests/cluster/fetch-tools $(KUBERNETES)
	@tests/chart/fetch-schemas $(KUBERNETES)

.PHONY: test
test: setup test-tools helm ## tests on real processes and containers
	@$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(or $(TESTS),tests $(OTHERS:%=--ignore=%))

.PHONY: test-survival
test-survival: setup test-tools ## what real programs do to a checkpoint; faults at every phase
	@$(BIN)/python -m pytest $(or $(TESTS),tests/survival tests/chaos)

.PHONY: vm-tools
vm-tools:
	@mkdir -p $(CACHE)
	@$(call debian,qemu-system-x86_64 mmdebstrap mkfs.ext4,qemu-system-x86 mmdebstrap e2fsprogs)

.PHONY: test-vm
test-vm: setup vm-tools ## tests in a virtual machine (SHORT=1: what a change must pass)
	@tests/vm/run $(if $(SHORT),--short) $(TESTS)

.PHONY: cluster-tools
cluster-tools:
	@mkdir -p $(CACHE)
	@$(call debian,buildah debootstrap runc,buildah debootstrap runc)
	@if [[ -z $${KUBECONFIG:-} ]]; then \
	  tests/cluster/build-kubernetes --check $(KUBERNETES) \
	    || { $(call debian,go gcc make rsync jq,golang-go gcc make rsync jq); }; \
	  $(call debian,etcd containerd ctr iptables conntrack /usr/lib/cni/ptp,etcd-server containerd iptables conntrack containernetworking-plugins); \
	fi

.PHONY: cluster-parts
cluster-parts: setup helm cluster-tools ## what a cluster of its own is made of: programs and images
	@if [[ -z $${KUBECONFIG:-} ]]; then \
	  tests/cluster/build-kubernetes $(KUBERNETES); \
	  tests/cluster/build-images; \
	fi

# The cluster that KUBECONFIG names, else a real one that is built and started here.
.PHONY: test-cluster
test-cluster: cluster-parts ## tests in a real Kubernetes
	@CHREK_TEST_CLUSTER=1 CHREK_BUILD_IMAGES=1 \
	  $(BIN)/python -m pytest $(SIDE_BY_SIDE) $(or $(TESTS),$(CLUSTER))

.PHONY: test-gpu
test-gpu: setup ## tests on a machine with an NVIDIA GPU (tests/gpu/pack carries to one without a network)
	@$(BIN)/python -m pytest $(or $(TESTS),tests/gpu)

.PHONY: chaos
chaos: setup test-tools ## random faults: make chaos ROUNDS=200 SEED=1
	@$(BIN)/python -m tests.chaos --rounds $(or $(ROUNDS),20) --seed $(or $(SEED),1)

.PHONY: bench
bench: setup ## benchmarks against bare CRIU, Podman and a bare web server
	@$(call debian,podman wrk,podman wrk)
	@$(BIN)/python -m bench
	@$(BIN)/python -m bench.memory
	@$(BIN)/python -m bench.compression
	@$(BIN)/python -m bench.webhook

.PHONY: bench-gpu
bench-gpu: setup ## benchmarks on a machine with an NVIDIA GPU (tests/gpu/pack carries to one without a network)
	@$(BIN)/python -m bench.gpu

.PHONY: lint
lint: helm ## ruff, mypy, import layers, shellcheck, hadolint, helm lint
	@$(call debian,shellcheck,shellcheck)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@shellcheck $(SCRIPTS)
	@$(BIN)/hadolint Dockerfile.webhook Dockerfile.agent tests/cluster/pods/Dockerfile
	@for values in storage.pvc.size=1Gi rbac.namespaced=false \
	  storage.pvc.size=1Gi,certificates.provider=cert-manager; do \
	  $(KUBERNETES)/bin/helm lint --strict --quiet manifests/chrek --set "$$values"; \
	done
	@echo "lint: clean"

.PHONY: format
format: $(VENV)/.ready ## rewrite the code as ruff would
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format --quiet .

.PHONY: clean
clean: ## what this checkout built (the cache stays)
	rm -rf $(VENV) agent/init/build .pytest_cache .mypy_cache .ruff_cache *.egg-info
