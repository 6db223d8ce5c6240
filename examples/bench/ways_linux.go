package main

import (
	"github.com/gopptp/gopptp/examples/bench/internal/report"
	"github.com/gopptp/gopptp/examples/bench/internal/tunnels"
)

// Names of ways, where something is said about them.
const (
	plain     = "plain veth"
	wireGuard = "wireguard-go"
	ours      = "gopptp"
	oursMPPE  = "gopptp MPPE"
	oursClear = "gopptp clear"
	rawMPPE   = "gopptp MPPE, raw socket"
	naiveMPPE = "naive MPPE"
)

// way is one that packets can take from the client to the server.
type way struct {
	name   string
	kind   func(o *options) tunnels.Kind
	extra  bool   // measured only if it is asked for
	stages string // a regexp of what is measured; empty: all
}

// ways are all that are compared, in the order in which they take turns.
var ways = []way{
	{name: plain, kind: func(*options) tunnels.Kind { return tunnels.Plain }},
	{name: wireGuard, kind: func(o *options) tunnels.Kind { return tunnels.WireGuard(o.wireGuard) }},
	{name: oursMPPE, kind: gopptp(tunnels.Config{Plane: "auto", MPPE: true})},
	{name: oursClear, kind: gopptp(tunnels.Config{Plane: "auto"})},
	{name: rawMPPE, kind: gopptp(tunnels.Config{Plane: "raw", MPPE: true})},
	{name: ours + " clear, raw socket", kind: gopptp(tunnels.Config{Plane: "raw"})},
	{name: naiveMPPE, kind: func(*options) tunnels.Kind { return tunnels.Naive(true) }},
	{name: "naive clear", kind: func(*options) tunnels.Kind { return tunnels.Naive(false) }},

	{name: "null, AF_XDP", kind: func(*options) tunnels.Kind { return tunnels.Null(true) }, stages: "latency|profile"},
	{name: "null, raw socket", kind: func(*options) tunnels.Kind { return tunnels.Null(false) }, stages: "latency|profile"},

	{name: ours + " MPPE, one worker", kind: gopptp(tunnels.Config{Plane: "one worker", MPPE: true}), extra: true},
	{name: ours + " MPPE, raw socket, plain TUN", kind: gopptp(tunnels.Config{Plane: "plain TUN", MPPE: true}), extra: true},
}

func gopptp(c tunnels.Config) func(*options) tunnels.Kind {
	return func(*options) tunnels.Kind { return tunnels.Ours(c) }
}

// What is measured.
const (
	tcp1     = "TCP, 1 flow"
	tcp4     = "TCP, 4 flows"
	udp64    = "64-octet UDP packets without loss"
	latency  = "one-way latency, idle: median"
	latency9 = "one-way latency, idle: 99th percentile"
	cpuPerGB = "CPU of the gateway, TCP, 1 flow"
	ownShare = "our code but the cipher, TCP both ways, 1 flow"
	sessions = "CPU of the gateway a packet, many sessions"
)

// plotted are those that the plot shows.
var plotted = []string{tcp1, tcp4, udp64}

// bars are what the data plane has to come to.
var bars = []report.Bar{
	{Measure: tcp1, Way: oursMPPE, To: wireGuard, Least: 0.9},
	{Measure: tcp4, Way: oursMPPE, To: wireGuard, Least: 0.9},
	{Measure: tcp1, Way: oursMPPE, To: naiveMPPE, Least: 4},
	{Measure: tcp4, Way: oursMPPE, To: naiveMPPE, Least: 4},
	{Measure: tcp1, Way: rawMPPE, To: naiveMPPE, Least: 2.7},
	{Measure: tcp4, Way: rawMPPE, To: naiveMPPE, Least: 2.7},
	{Measure: tcp1, Way: oursClear, To: wireGuard, Least: 1.5},
	{Measure: tcp4, Way: oursClear, To: wireGuard, Least: 1.5},
	{Measure: udp64, Way: oursMPPE, To: wireGuard, Least: 4},
	{Measure: udp64, Way: oursClear, To: wireGuard, Least: 4},
	{Measure: latency, Way: oursMPPE, To: plain, Beyond: 60},
	{Measure: ownShare, Way: oursMPPE, Most: 15},
	{Measure: ownShare, Way: oursClear, Most: 15},
	{Measure: sessions, Way: sessionsOf(100), To: sessionsOf(1), Most: 1.3},
	{Measure: sessions, Way: sessionsOf(10000), To: sessionsOf(1), Most: 1.3},
	{Measure: sessions, Way: sessionsOf(10000), To: sessionsOf(100), Most: 1.3},
}
