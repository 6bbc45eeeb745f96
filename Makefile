# The one entry: `make help` lists what there is.
.DEFAULT_GOAL := help
CARGO ?= cargo

.PHONY: help setup build demo test test-kernels test-cluster test-cluster-kubelet soak test-integrations check doc bench bench-dataplane bench-cli bench-agent fuzz ci

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup: ## install what the tests and the demo need and this machine lacks (Debian packages; needs root)
	@.ci/setup

build: ## build the nopal command, optimized
	$(CARGO) build --release -p nopal

demo: setup ## build a cluster of network namespaces and compare every probe with the policies (needs root)
	$(CARGO) run --quiet -p nopal -- demo

test: setup ## run every test but benchmarks and long fuzzing, the kernel tests included (needs root)
	$(CARGO) test --workspace --all-features --quiet

test-kernels: setup ## run the packet tests on Debian's stock kernel in a virtual machine, without KVM (needs root)
	@.ci/test-kernels $(TESTS)

test-cluster: ## test the agent against a real API server, which is built the first time (needs root and Go)
	@.ci/setup cluster
	@test -n "$$KUBEBUILDER_ASSETS" || deploy/envtest/build kube-apiserver kubectl kube-proxy etcd helm
	$(CARGO) test -p nopal-agent --test cluster -- --ignored --test-threads=1

soak: ## churn a cluster for ten minutes, judged by packets (NOPAL_SOAK_SECONDS and NOPAL_SEED choose; needs what test-cluster does)
	@.ci/setup cluster
	@test -n "$$KUBEBUILDER_ASSETS" || deploy/envtest/build kube-apiserver kubectl etcd
	NOPAL_SOAK_SECONDS=$${NOPAL_SOAK_SECONDS:-600} $(CARGO) test -p nopal-agent --test cluster -- --ignored --nocapture soak::

test-cluster-kubelet: ## test the agent under a real kubelet and containerd (needs root, Go and cgroups of version 1)
	@.ci/setup kubelet
	@test -n "$$KUBEBUILDER_ASSETS" || deploy/envtest/build kube-apiserver kubectl kube-proxy kubelet kube-controller-manager kube-scheduler etcd
	deploy/build-static target/shipped
	NOPAL_SHIPPED=$(CURDIR)/target/shipped $(CARGO) test -p nopal-agent --test kubelet -- --ignored --test-threads=1

test-integrations: ## test what pre-commit, krew, the SARIF Multitool and published schemas say of what nopal gives them (needs Python, Go and npm)
	NOPAL_TOOLS=$${NOPAL_TOOLS:-$$(.ci/integration-tools)} $(CARGO) test -p nopal --test foreign_tools -- --ignored

check: ## formatting and lints, warnings as errors
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-features --all-targets -- -D warnings

doc: ## the crates' documentation, warnings as errors
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --all-features --no-deps

bench: ## measure compiling and rendering, and write docs/benchmarks.md
	docs/benchmarks.sh

bench-dataplane: setup ## measure packets, changes and memory of the data plane, and write its part of docs/benchmarks.md (needs root)
	docs/bench-dataplane.sh

bench-cli: ## measure lint, explain, diff and matrix on a cluster of real size, and write their part of docs/benchmarks.md
	docs/bench-cli.sh

bench-agent: ## measure the agent with a real API server and its store alone, and write its part of docs/benchmarks.md (needs root and Go)
	@.ci/setup cluster
	@test -n "$$KUBEBUILDER_ASSETS" || deploy/envtest/build kube-apiserver kubectl etcd
	docs/bench-agent.sh

# All code is safe Rust, in which a sanitizer finds nothing; it and one unit of code generation make the build several times as long.
FUZZ = $(CARGO) +nightly fuzz
FUZZ_BUILD = --sanitizer none --codegen-units 16
FUZZ_SECONDS ?= 60
fuzz: ## fuzz each reader of foreign text for a minute, or FUZZ_SECONDS (needs a nightly toolchain and cargo-fuzz)
	cd cli && $(FUZZ) build $(FUZZ_BUILD)
	cd cli && for target in $(notdir $(basename $(wildcard cli/fuzz/fuzz_targets/*.rs))); do \
		mkdir -p fuzz/corpus/$$target && \
		$(FUZZ) run $(FUZZ_BUILD) $$target fuzz/corpus/$$target ../testdata fuzz/seeds -- \
			-max_total_time=$(FUZZ_SECONDS) -timeout=10 -print_final_stats=1 || exit 1; \
	done

ci: ## what CI runs
	.ci/run
