# `make help` lists the targets. Go and make are all that is needed; `race` needs
# a C compiler besides.

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
GOFMT    = $(shell $(GO) env GOROOT)/bin/gofmt
LINT     = bin/tools/golangci-lint

# Where the race detector earns its time: what readers and writers share. Not where
# one goroutine reads one damaged file after another.
RACE      = ./store/... ./discovery/... ./cmd/svmgate/internal/agentapi/... ./cmd/svmgate/internal/adminapi/... ./cmd/svmgate/internal/protection ./cmd/svmgate/internal/replica ./cmd/svmgate/internal/task ./cmd/svmgate/internal/tenancy ./cmd/svmgate/internal/watch
RACE_SKIP = Cut|Flipped|Damage|Crafted|Killed|Golden|MovingIsTheOracles|WhatIf|AboutToBeLarge|HashesThatAreNear|TakesItsTime|SteadyHour|WithoutReports|Flapping|ANewSVM|Sentences|StandsBeside|OrderOfArrival|SetsInNewWords|CrowdedSlots|BackupReadsChangesInParts|ExplainNewcomer|ChancesAgree|MovesComeToAnEnd|RatesOfAllSizes|WalkOfVMs|MaxKept|MaxResults|SupposedVMs|TableIsWhatWasWritten|TestDay$$|AFlood|TestMidnight|TestLargeReport|AForgottenEventHappensAgain|RunOfAClosedTable|AgreesWithAMap|AgreeWithAMap|SurviveKill9|AtMost64Bytes|ForgottenVMsGive|CollisionsAtTheEnd|ANameThatIsTaken

# Packages that are tested at once: twice as many as there are processors, since those
# that start gateways wait most of the time, for each other or for what must not happen.
AT_ONCE = $$(( 2 * $$(getconf _NPROCESSORS_ONLN) ))

# What `run` loads. `sample` makes it.
SAMPLE = examples/sample/inventory.yaml

# The program that asks other servers.
PEERS = $(GO) -C bench/peers build -o ../../bin/peers .

.PHONY: help build run test check fmt vet lint race cover day fuzz fuzz-short bench bench-smoke bench-store bench-peers bench-latency crash crowd lab examples oracle sim simulate protection vsphere-big sample tools clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' Makefile

# Without -trimpath: with it nothing that tests and linters compile could be used
# again, and a build from nothing would take twice as long.
build: ## build bin/svmgate
	$(GO) build -ldflags '-X main.version=$(VERSION)' -o bin/svmgate ./cmd/svmgate

run: build ## run a gateway on loopback with the sample inventory; prints a curl line that answers
	bin/svmgate serve --data :memory: --ksc none --sample $(SAMPLE)

test: ## run every test that needs nothing outside the repository
	$(GO) test -p $(AT_ONCE) -timeout 5m ./...

# The tests come last, so that their lines close a log.
check: ## everything a change must pass; what .ci/run runs
	@set -e; for step in fmt vet build lint examples bench-smoke fuzz-short race test; do \
		echo "== $$step"; start=$$(date +%s); \
		$(MAKE) --no-print-directory $$step; \
		echo "== $$step: $$(( $$(date +%s) - start )) s"; \
	done; echo "== check: all passed"

fmt: ## fail if a file is not as gofmt -s leaves it
	@bad=$$($(GOFMT) -s -l .); test -z "$$bad" || { echo "run gofmt -s -w on:"; echo "$$bad"; exit 1; }

vet: ## go vet
	$(GO) vet ./...

lint: $(LINT) ## golangci-lint, by .golangci.yml
	$(LINT) run ./...

race: ## the tests that matter most under the race detector
	@if [ "$$($(GO) env CGO_ENABLED)" = 1 ]; then set -x; $(GO) test -race -short -skip '$(RACE_SKIP)' -timeout 5m $(RACE); \
	else echo "race: SKIPPED, the race detector needs a C compiler"; fi

cover: ## test coverage, by package and in all (cover.out)
	$(GO) test -timeout 5m -coverprofile cover.out ./...
	$(GO) tool cover -func cover.out | tail -1

fuzz: ## fuzz every target, 30 s each
	@tools/fuzz.sh each 30

fuzz-short: ## fuzz every target, 30 s for all together
	@tools/fuzz.sh all 30

bench: ## every Go benchmark
	$(GO) test -run '^$$' -bench . -timeout 60m ./...

bench-smoke: ## every Go benchmark once, small: do they still run?
	$(GO) test -run '^$$' -bench . -benchtime 1x -short -timeout 5m $$(grep -rlE '^func Benchmark' --include='*_test.go' --exclude-dir=journals . | xargs -n 1 dirname | sort -u)

bench-store: ## what the table costs: durable writes beside raft-wal; start, memory, questions at ten million VMs
	$(GO) -C bench/journals vet .
	$(GO) -C bench/journals test -run '^$$' -bench . -benchtime 1x -timeout 30m
	$(GO) test -run '^$$' -bench 'Store$$' -benchtime 5x -timeout 30m ./bench -bench.vms 10000000
	$(GO) test -run '^$$' -bench 'MemoryLoad|Lookup|Select$$|SelectLocal' -cpu 1,2 -benchtime 300ms -timeout 30m ./bench -bench.vms 10000000

bench-peers: build ## the same question to svmgate, fasthttp, net/http, nginx, Redis, etcd, CoreDNS; bench/results/peers.md
	$(GO) -C bench/peers vet .
	$(GO) -C bench/peers test .
	$(PEERS)
	bin/peers -results bench/results

bench-latency: build ## how long answers take at fixed rates, beside fasthttp with a constant one; bench/results/latency.md
	$(PEERS)
	bin/peers -latency -rounds 40 -slice 500ms -results bench/results

crash: ## 100 cycles of kill -9 under 64 writers, 5,000 flipped bits, a full disk and a failed fsync
	$(GO) test ./store -run 'Kill|Flip' -store.kills 100 -store.flips 5000 -timeout 30m -v
	$(GO) test ./cmd/svmgate -run 'TestFullDisk|TestFailedSync' -count 1 -v

day: ## a day of 100,000 agents after their tenant was deactivated, on three gateways in virtual time
	$(GO) test ./cmd/svmgate/internal/watch -run TestDay -day.vms 100000 -day.time 24h -count 1 -timeout 3h -v

crowd: ## very many connections: 10,000 that wait, 19,000 that are slow
	$(GO) test ./cmd/svmgate/internal/crowd -crowd.long -count 1 -timeout 30m -v

lab: ## gateways in network namespaces: long cuts, 16 of them, a million VMs, 4,000 reports a second
	$(GO) test ./cmd/svmgate/internal/lab -lab.long -count 1 -timeout 60m -v

examples: ## build and run every example
	@set -e; for main in examples/*/main.go; do dir=$$(dirname $$main); echo "$$dir:"; timeout 60 $(GO) run ./$$dir; done

oracle: ## 1,000,000 random cases: the fast decision against the slow, obvious one
	$(GO) test ./discovery -run TestOracle -oracle.cases 1000000 -timeout 30m

sim: ## how evenly agents are spread: ten seeds of each world and policy; bin/sim.html. Fails if a bound is missed
	@mkdir -p bin
	$(GO) test ./bench/sim -run TestSim -sim.seeds 10 -sim.report $(CURDIR)/bin/sim.html -timeout 60m -v

simulate: ## 10,000 random clusters with faults, in virtual time; 20 restarts of 50 nodes at once
	$(GO) test ./cluster/clustertest -run 'TestSeeds|TestMassRestart' -cluster.seeds 10000 -cluster.lasts 1m -cluster.restarts 20 -timeout 3h
	$(GO) test ./cmd/svmgate/internal/replica -run TestSimulate -simulate.seeds 1000 -timeout 1h

protection: ## 10,000 random histories against a model; a report of a million VMs, and the first minutes of a day with as many
	$(GO) test ./cmd/svmgate/internal/protection -run 'TestOracle|TestLargeReport|TestMidnight' -protection.histories 10000 -protection.vms 1000000 -timeout 60m -v

vsphere-big: ## read 64 hosts and 2,000 VMs from a simulated vCenter
	$(GO) test ./cmd/svmgate/internal/inventory/vsphere -run TestVSphereLarge -vsphere.large -timeout 10m

sample: ## make the sample inventory anew, from a simulated vCenter
	$(GO) run ./cmd/svmgate/internal/inventory/vsphere/samplegen $(dir $(SAMPLE))

tools: $(LINT) ## build the tools that tools/go.mod pins

$(LINT): tools/go.mod tools/go.sum
	$(GO) -C tools build -o ../$(LINT) github.com/golangci/golangci-lint/v2/cmd/golangci-lint

clean: ## remove what was built
	rm -rf bin cover.out
