# Two targets are all that most need: demo, and test, which is everything that
# CI checks. Both install the Debian packages that they need, and say so.

STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME = 10m

# Both modules, which are one workspace.
ALL = ./... ./examples/...

.PHONY: demo test lint cross unit fuzz-short lab lab-kernel bench-smoke bench-scale-smoke fuzz bench-dataplane bench-kernel bench-setups bench-scale bench-scale-lab deb

demo:
	scripts/demo.sh

test: lint cross unit fuzz-short lab bench-smoke bench-scale-smoke
	@echo "==> everything passed"

# What a compiler and its friends can tell.
lint:
	@echo "==> gofmt, go vet, staticcheck"
	@fmt=$$(gofmt -l .); if [ -n "$$fmt" ]; then echo "not formatted: $$fmt"; exit 1; fi
	@for module in . examples; do (cd $$module && go mod tidy -diff) || exit 1; done
	@go vet $(ALL) && go run $(STATICCHECK) $(ALL)

# Systems that we do not run on here must build all the same. What the examples are
# built of is much, and their tests are of even more, which is not ours: it is
# compiled in less time, as nobody runs it.
CROSSFLAGS = -gcflags='all=-N -l -dwarf=false' -gcflags='github.com/gopptp/gopptp/...=-dwarf=false' -ldflags=-w
cross:
	@for target in darwin/arm64 windows/amd64 linux/arm linux/386; do \
		echo "==> build for $$target"; \
		export GOOS=$${target%/*} GOARCH=$${target#*/} CGO_ENABLED=0; \
		go vet $(CROSSFLAGS) ./... && go build $(CROSSFLAGS) ./examples/... || exit 1; done

# The tests that need no real peers, some of them as root, in namespaces. They leave out
# what is long in the examples alone, which other targets run, and lint has vetted all.
# Those that take longest begin first, so that no processor waits for them in the end.
SLOW = ./mppe ./userspace . ./examples/gateway/internal/admin ./examples/loadgen/... ./examples/gateway/packaging
unit:
	@scripts/apt.sh gcc libc6-dev iproute2 iputils-ping freeradius freeradius-utils prometheus radsecproxy postgresql redis-server tshark chromium fail2ban nftables
	@scripts/apt.sh systemd iproute2 lintian
	@echo "==> tests"
	go test -race -shuffle=on -short -vet=off -timeout 10m $(SLOW) $(ALL)

# A Debian package of the gateway, in dist.
deb:
	examples/gateway/packaging/debian/deb.sh dist

fuzz-short:
	@scripts/fuzz.sh 3s

# Real peers, on a real Linux PPTP kernel in User-Mode Linux. Most of the time they wait for
# each other: more tests run at once than there are processors, but for those that measure
# time.
lab:
	@scripts/lab-deps.sh
	@echo "==> real peers"
	cd examples && go test -count=1 -v -parallel 4 -timeout 30m ./lab

# The part of it that tests the kernel data plane alone, on that kernel.
lab-kernel:
	@scripts/lab-deps.sh
	@echo "==> the kernel data plane on a kernel"
	cd examples && go test -count=1 -v -timeout 10m -run TestKernelPackages ./lab

# That the benchmark works, with its peers: a little of everything.
bench-smoke:
	@scripts/apt.sh iperf3
	@echo "==> the benchmark, briefly"
	cd examples && go test -count=1 -v -run TestSmoke ./bench

# That what a session costs does not grow with their number, as far as 5,000 show it, and
# that nobody suffers much from one peer that floods.
bench-scale-smoke:
	@echo "==> the cost of 500 sessions and of 5,000; floods"
	cd examples && go test -count=1 -p 1 -v -run 'TestSmoke|TestFairness|TestAgainstGateway' ./bench/scale ./loadgen/internal/cli

# Longer fuzzing: make fuzz FUZZTIME=1h
fuzz:
	scripts/fuzz.sh $(FUZZTIME)

# What the userspace data plane does, beside others: ten minutes at the most, on a
# machine that has nothing else to do. Writes the figures into BENCHMARKS.md.
bench-dataplane:
	@scripts/apt.sh iperf3
	cd examples && go run ./bench -results bench/results -document ../BENCHMARKS.md

# What the kernel data plane does, beside the other one and pptpd with pppd, in the
# lab: ten minutes at the most. Other work on the machine has to wait meanwhile, as
# User-Mode Linux gets the one processor that it uses whenever it wants it.
bench-kernel:
	@scripts/lab-deps.sh
	cd examples && LAB_BENCH=results LAB_BENCH_TEXT=../../BENCHMARKS.md \
		go test -count=1 -v -timeout 12m -run TestBenchKernel -exec 'chrt --rr 1' ./lab

# How many instructions a set-up takes our gateway, and pptpd with pppd, on Debian's kernel
# and an emulated processor: some minutes. What else the machine does is of no matter.
# Writes the figures into BENCHMARKS.md.
bench-setups:
	@scripts/lab-deps.sh
	@scripts/apt.sh qemu-system-x86
	@scripts/debian-kernel.sh dist/debian-kernel
	cd examples && LAB_DEBIAN_KERNEL=$(CURDIR)/dist/debian-kernel LAB_SETUPS=$(CURDIR)/BENCHMARKS.md \
		go test -count=1 -v -timeout 25m -run 'TestBenchSetups$$' ./lab

# What sessions cost the gateway, up to 50,000, and what a storm of clients does to it:
# ten minutes at the most. Writes the figures into BENCHMARKS.md.
bench-scale:
	cd examples && go run ./bench/scale -results bench/results -document ../BENCHMARKS.md

# What a session takes of memory where there are 50,000, also for hosts that have not enough
# descriptors for them: on Debian's kernel, in QEMU. A quarter of an hour.
bench-scale-lab:
	@scripts/lab-deps.sh
	@scripts/apt.sh qemu-system-x86
	@scripts/debian-kernel.sh dist/debian-kernel
	cd examples && LAB_DEBIAN_KERNEL=$(CURDIR)/dist/debian-kernel LAB_SCALE=$(CURDIR)/BENCHMARKS.md \
		go test -count=1 -v -timeout 60m -run 'TestScale$$' ./lab
