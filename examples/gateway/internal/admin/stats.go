package admin

import (
	"bytes"
	"os"
	"reflect"
	"regexp"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"time"

	"github.com/gopptp/gopptp/dataplane"
)

// Stats is the answer to GET /stats.
type Stats struct {
	Version string    `json:"version"`
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	Uptime  float64   `json:"uptime_seconds"`

	Server    Figures `json:"server"`              // gopptp.ServerStats
	Dataplane Figures `json:"dataplane,omitempty"` // dataplane.Stats, and the mode that was chosen
	Runtime   Figures `json:"runtime"`             // Go's, and the memory that the process has of the host
}

// Figures are values by their names, or further Figures. The names are those of the
// library's fields, in JSON's customary form: RefusedHalfOpen is refused_half_open.
type Figures = map[string]any

func (g *Gateway) stats(started time.Time) Stats {
	s := Stats{
		Version: version(),
		PID:     os.Getpid(),
		Started: started.Round(0),
		Uptime:  time.Since(started).Seconds(),
		Server:  figuresOf(reflect.ValueOf(g.Server.Stats())),
		Runtime: runtimeFigures(),
	}
	if p, ok := g.Dataplane.(*dataplane.Plane); ok {
		s.Dataplane = figuresOf(reflect.ValueOf(p.Stats()))
		s.Dataplane["mode"] = p.Mode()
	}
	return s
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "unknown"
}

// figuresOf returns the fields of a struct, so that what the library counts is here
// without being named once more.
func figuresOf(v reflect.Value) Figures {
	f := make(Figures)
	for i := range v.NumField() {
		field := v.Type().Field(i)
		switch {
		case !field.IsExported():
		case field.Type.Kind() == reflect.Struct:
			f[snakeCase(field.Name)] = figuresOf(v.Field(i))
		default:
			f[snakeCase(field.Name)] = v.Field(i).Interface()
		}
	}
	return f
}

// wordEnd is where one word of a name ends and the next begins: HalfOpen, GREStats.
var wordEnd = regexp.MustCompile(`([a-z0-9])([A-Z])|([A-Z])([A-Z][a-z])`)

func snakeCase(name string) string {
	return strings.ToLower(wordEnd.ReplaceAllString(name, "${1}${3}_${2}${4}"))
}

// runtimeMetrics are the metrics of Go's runtime that are in Stats. Reading them stops
// nothing, as runtime.ReadMemStats would.
var runtimeMetrics = []struct{ name, metric string }{
	{"gc_cycles", "/gc/cycles/total:gc-cycles"},
	{"gomaxprocs", "/sched/gomaxprocs:threads"},
	{"goroutines", "/sched/goroutines:goroutines"},
	{"heap_bytes", "/memory/classes/heap/objects:bytes"}, // with what is dead and not swept yet
	{"heap_goal_bytes", "/gc/heap/goal:bytes"},
	{"heap_live_bytes", "/gc/heap/live:bytes"}, // by the last collection
	{"heap_released_bytes", "/memory/classes/heap/released:bytes"},
	{"stack_bytes", "/memory/classes/heap/stacks:bytes"},
	{"total_bytes", "/memory/classes/total:bytes"}, // with what is released
}

func runtimeFigures() Figures {
	f := make(Figures)
	samples := make([]metrics.Sample, len(runtimeMetrics))
	for i, m := range runtimeMetrics {
		samples[i].Name = m.metric
	}
	metrics.Read(samples)
	for i, m := range runtimeMetrics {
		if v := samples[i].Value; v.Kind() == metrics.KindUint64 {
			f[m.name] = v.Uint64()
		}
	}
	if n, ok := resident(); ok {
		f["resident_bytes"] = n
	}
	return f
}

// resident is the memory that the process has of the host, where Linux tells.
func resident() (octets uint64, ok bool) {
	text, err := os.ReadFile("/proc/self/statm")
	if fields := bytes.Fields(text); err == nil && len(fields) > 1 {
		pages, err := strconv.ParseUint(string(fields[1]), 10, 64)
		return pages * uint64(os.Getpagesize()), err == nil
	}
	return 0, false
}
