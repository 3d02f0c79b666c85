# make help lists the targets. Go, git and make are all that must be there: what else a target needs it builds, or
# fetches from Debian's packages, or it says what is missing.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

VERSION  = $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
IMAGE    ?= bakewatch:$(VERSION)
FUZZTIME ?= 10s
COUNT    ?= 6
# Packages to test, and flags for go test: make test-unit PKG=./decide ARGS='-run TestJudge -v'
PKG  ?= ./...
ARGS ?=
# Flags for the demo: make demo DEMO_ARGS='--ports free'
DEMO_ARGS ?=
# Where the demo reads signals: prometheus, or datadog, which a stand-in plays
SOURCE ?= prometheus
# What the demo tells: apply, a bad version; helm, likewise by a Helm release, for which the real Helm is built; or config, a ConfigMap that goes bad
STORY ?= apply
# The race detector needs a C compiler; make test RACE= does without both.
RACE ?= -race

# The version is set by the linker, so Go need not ask git, which refuses in a checkout of another user's.
export GOFLAGS := $(strip $(GOFLAGS) -buildvcs=false)

bin      := $(CURDIR)/.bin
pg       := $(CURDIR)/playground
progress := tools/progress.sh
scripts  := $(shell git ls-files '*.sh' .ci/run 2>/dev/null)

# Without C everywhere but under the race detector: else the day a C compiler appears, all of Kubernetes is built anew.
go_build      = env CGO_ENABLED=0 go build
integration   = BAKEWATCH_INTEGRATION=required BAKEWATCH_BINARY=$(bin)/bakewatch BAKEWATCH_PLAYGROUND=$(pg)/.bin/playground \
                BAKEWATCH_KUBECTL=$(pg)/.bin/kubectl BAKEWATCH_PROMETHEUS=$(pg)/.tools/bin/prometheus
# Two dozen stories run beside each other, by the clock. One that fails is told again once, alone, and the summary says so;
# many that fail, and data races, are not.
rerun         = --rerun-fails=1 --rerun-fails-max-failures=4 --rerun-fails-run-root-test --rerun-fails-abort-on-data-race
no_playground = env -u BAKEWATCH_INTEGRATION -u BAKEWATCH_BINARY -u BAKEWATCH_PLAYGROUND -u BAKEWATCH_KUBECTL -u BAKEWATCH_PROMETHEUS

# Those that look at one package at a time: the others read all of Kubernetes first, which takes 5 minutes here.
pg_linters    = depguard,errcheck,errorlint,godot,ineffassign,misspell,nolintlint,revive,unconvert,unused

.PHONY: help
help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.PHONY: go
go:
	@command -v go >/dev/null || { echo "make: go is not on PATH; install Go 1.26 or newer from https://go.dev/dl/" >&2; exit 1; }

.PHONY: build
build: go ## build the daemon, .bin/bakewatch
	@$(progress) "building bakewatch (3 minutes the first time)" $(go_build) -ldflags "-X main.version=$(VERSION)" -o $(bin)/bakewatch ./cmd/bakewatch

.PHONY: playground-build
playground-build: go
	@playground/build.sh

.PHONY: playground
playground: playground-build ## start a Kubernetes control plane, Prometheus, Alertmanager and serving pods, and leave them running
	@playground/.bin/playground up --detach

.PHONY: guard
guard: playground build ## run the daemon against the playground, to try stories with kubectl, until Ctrl-C
	@playground/guard.sh $(bin)/bakewatch

.PHONY: playground-down
playground-down: ## stop the playground
	@if [[ -x playground/.bin/playground ]]; then playground/.bin/playground down; else echo "no playground was built, so none runs"; fi

.PHONY: demo
demo: playground-build build $(if $(filter helm,$(STORY)),$(bin)/helm) ## watch a bad version being rolled out, found, rolled back and told; DEMO_HOLD=1 keeps it up, SOURCE=datadog reads Datadog alone, STORY=config is about a ConfigMap, STORY=helm rolls a release back
	@playground/.bin/demo --bakewatch .bin/bakewatch --deploy deploy --source $(SOURCE) --story $(STORY) --helm $(bin)/helm $(DEMO_ARGS)

.PHONY: test
test: playground-build build cc $(bin)/gotestsum ## run all tests, those against a real control plane included
	@failed=0; \
	units=$$(go list $(PKG) | grep -v '/integration$$' || true); \
	if [[ -n "$$units" ]]; then \
		$(progress) "root module: compiling and testing (15 minutes the first time)" env $(integration) go test $(RACE) -count=1 -timeout 20m $(ARGS) $$units || failed=1; \
	fi; \
	if go list $(PKG) | grep -q '/integration$$'; then \
		$(progress) "stories on a real control plane" env $(integration) $(bin)/gotestsum --format standard-quiet $(rerun) --packages ./integration -- $(RACE) -count=1 -timeout 20m $(ARGS) || failed=1; \
	fi; \
	$(progress) "playground module: compiling and testing (4 minutes the first time)" env CGO_ENABLED=0 go test -C playground -vet=off -count=1 -timeout 20m ./... || failed=1; \
	exit $$failed

.PHONY: test-unit
test-unit: go ## run the tests that need no playground
	@$(no_playground) CGO_ENABLED=0 go test $(ARGS) $(PKG)

.PHONY: cc
cc: go
	@[[ "$(RACE)" != -race ]] || tools/cc.sh

.PHONY: lint
lint: go lint-scripts $(bin)/golangci-lint ## run the linters over both modules and the shell scripts
	@CGO_ENABLED=0 $(progress) "linting the root module" $(bin)/golangci-lint run ./...
	@cd playground && CGO_ENABLED=0 ../$(progress) "linting playground/" $(bin)/golangci-lint run -c ../.golangci.yml --enable-only $(pg_linters) ./...
	@cd playground && $(bin)/golangci-lint fmt --diff -c ../.golangci.yml ./...

.PHONY: lint-scripts
lint-scripts:
	@for f in $(scripts); do bash -n "$$f"; done

.PHONY: generate
generate: go $(bin)/controller-gen ## write what is generated: deepcopy functions and deploy/crd
	@$(bin)/controller-gen object paths=./api/... crd output:crd:dir=deploy/crd

.PHONY: check-generated
check-generated: generate ## fail if what is generated differs from what is committed
	@git diff --exit-code -- api deploy/crd || { echo "check-generated: the files above are not what make generate writes; commit them" >&2; exit 1; }
	@[[ -z "$$(git ls-files --others --exclude-standard -- api deploy/crd)" ]] || { echo "check-generated: make generate wrote new files; commit them:" >&2; git ls-files --others --exclude-standard -- api deploy/crd >&2; exit 1; }

.PHONY: fuzz
fuzz: go ## fuzz each target for FUZZTIME (10s)
	@git grep -o -E '^func Fuzz[A-Za-z0-9_]*' -- '*_test.go' ':!playground' | sed 's/:func / /' | while read -r file target; do \
		echo "fuzz: $$target in $$(dirname $$file) for $(FUZZTIME)"; \
		CGO_ENABLED=0 go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) ./$$(dirname $$file) </dev/null; \
	done

.PHONY: bench
bench: go ## run the benchmarks COUNT (6) times each, for benchstat
	@awk -F': ' '/^model name/ {print "machine: " $$2 ", '"$$(nproc)"' cores, '"$$(go version)"'"; exit}' /proc/cpuinfo
	@CGO_ENABLED=0 go test -run '^$$' -bench . -benchmem -count $(COUNT) \
		$$(git grep -l -E '^func Benchmark' -- '*_test.go' ':!playground' | xargs -r -n1 dirname | sort -u | sed 's#^#./#')

.PHONY: bench-decide
bench-decide: go ## measure the judge and its rivals on simulated rollouts, into bench/results/decide.json
	@CGO_ENABLED=0 go run ./bench/decide -commit "$$(git rev-parse --short HEAD)" $(or $(ARGS),-o bench/results/decide.json)

.PHONY: tidy
tidy: go ## tidy the go.mod of every module
	@for m in . playground tools/controller-gen tools/golangci-lint tools/gotestsum tools/helm; do echo "tidy: $$m"; go -C $$m mod tidy; done

.PHONY: image
image: ## build the container image, IMAGE
	docker build --build-arg VERSION=$(VERSION) -t $(IMAGE) .

.PHONY: clean
clean: playground-down ## stop the playground and remove all that was built or stored here; Go's caches stay
	rm -rf .bin .run playground/.bin playground/.run playground/.tools

$(bin)/golangci-lint: tools/golangci-lint/go.mod tools/golangci-lint/go.sum
	@CGO_ENABLED=0 $(progress) "building golangci-lint (4 minutes the first time)" go build -C tools/golangci-lint -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

$(bin)/controller-gen: tools/controller-gen/go.mod tools/controller-gen/go.sum
	@CGO_ENABLED=0 $(progress) "building controller-gen (1 minute the first time)" go build -C tools/controller-gen -o $@ sigs.k8s.io/controller-tools/cmd/controller-gen

$(bin)/helm: tools/helm/go.mod tools/helm/go.sum
	@CGO_ENABLED=0 $(progress) "building helm (3 minutes the first time)" go build -C tools/helm -o $@ helm.sh/helm/v4/cmd/helm

$(bin)/gotestsum: tools/gotestsum/go.mod tools/gotestsum/go.sum
	@CGO_ENABLED=0 $(progress) "building gotestsum" go build -C tools/gotestsum -o $@ gotest.tools/gotestsum
