package metrics

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/dataplane"
	"github.com/gopptp/gopptp/examples/gateway/internal/accounting"
	"github.com/gopptp/gopptp/examples/gateway/internal/addresses"
	"github.com/gopptp/gopptp/examples/gateway/internal/bans"
	"github.com/gopptp/gopptp/examples/gateway/internal/firewall"
	"github.com/gopptp/gopptp/examples/gateway/internal/latency"
	"github.com/gopptp/gopptp/examples/gateway/internal/radius"
	"github.com/gopptp/gopptp/examples/gateway/internal/usercache"
)

// fill gives each number of a snapshot another value, and returns these by the names of
// the fields. Histograms have buckets of one each.
func fill(t *testing.T, v reflect.Value, path string, next *uint64, want map[uint64]string) {
	for i := range v.NumField() {
		f, name := v.Field(i), path+v.Type().Field(i).Name
		if !f.CanSet() {
			continue
		}
		switch {
		case f.Type() == reflect.TypeFor[time.Time]():
			*next++
			f.Set(reflect.ValueOf(time.Now().Add(-time.Duration(*next) * time.Hour)))
			want[*next*3600] = name
		case f.Type() == reflect.TypeFor[latency.Snapshot]():
			for j := range f.FieldByName("Counts").Len() {
				f.FieldByName("Counts").Index(j).SetUint(1)
			}
			f.FieldByName("Count").SetUint(uint64(f.FieldByName("Counts").Len()))
			*next++
			f.FieldByName("Sum").SetInt(int64(*next) * int64(time.Second))
			want[*next] = name
		case f.Kind() == reflect.Struct:
			fill(t, f, name+".", next, want)
		case f.CanInt():
			*next++
			f.SetInt(int64(*next))
			want[*next] = name
		case f.CanUint():
			*next++
			f.SetUint(*next)
			want[*next] = name
		case f.Kind() == reflect.Bool:
			f.SetBool(true)
			want[1] += name + " "
		case f.Kind() == reflect.String, f.Kind() == reflect.Slice:
		default:
			t.Fatalf("%s: nobody has thought of a %v", name, f.Type())
		}
	}
}

// gathered are the values of a Collector's series, which must be well made.
func gathered(t *testing.T, c prometheus.Collector) map[uint64]bool {
	r := prometheus.NewPedanticRegistry()
	require.NoError(t, r.Register(c))
	families, err := r.Gather()
	require.NoError(t, err)
	values := make(map[uint64]bool)
	for _, f := range families {
		assert.True(t, strings.HasPrefix(f.GetName(), "gopptp_"), f.GetName())
		assert.Equal(t, f.GetType() == dto.MetricType_COUNTER, strings.HasSuffix(f.GetName(), "_total"), f.GetName())
		for _, m := range f.Metric {
			v := m.GetCounter().GetValue() + m.GetGauge().GetValue()
			if h := m.GetHistogram(); h != nil {
				v = h.GetSampleSum()
				for i, b := range h.Bucket {
					assert.EqualValues(t, i+1, b.GetCumulativeCount(), "%s: buckets are cumulative", f.GetName())
				}
				assert.EqualValues(t, len(h.Bucket)+1, h.GetSampleCount())
			}
			values[uint64(v)] = true
		}
	}
	return values
}

// Whatever is counted somewhere is a metric: a figure that is added to a snapshot and not
// here fails this test.
func TestEveryFigureIsAMetric(t *testing.T) {
	check := func(name string, snapshot any, collector ...prometheus.Collector) {
		t.Run(name, func(t *testing.T) {
			next, want := uint64(1000), make(map[uint64]string)
			fill(t, reflect.ValueOf(snapshot).Elem(), "", &next, want)
			require.NotEmpty(t, want)
			got := gathered(t, collectors(collector))
			for value, field := range want {
				assert.True(t, got[value], "%s is no metric", field)
			}
		})
	}
	server := new(gopptp.ServerStats)
	check("server", server, serverTable(func() gopptp.ServerStats { return *server }))
	plane := new(dataplane.Stats)
	check("dataplane", plane, dataplaneTable(func() dataplane.Stats { return *plane }))
	counters := new(gopptp.Counters)
	check("traffic", counters, trafficTable(func() gopptp.Counters { return *counters }))
	client := new(radius.ClientStats)
	check("radius client", client, radiusClients(func() []radiusClient { return []radiusClient{{*client, "login"}} }))
	radiusServer1 := new(radius.ServerStats)
	check("radius server", radiusServer1, radiusServers(func() []radiusServer { return []radiusServer{{*radiusServer1, "login"}} }))
	orders := new(radius.DynAuthStats)
	check("orders", orders, dynAuthTable(func() radius.DynAuthStats { return *orders }))
	users := new(usercache.Stats)
	check("users", users, userTable(func() usercache.Stats { return *users }))
	queue := new(accounting.QueueStats)
	check("accounting queue", queue, queueTable(func() accounting.QueueStats { return *queue }))
	line := new(accounting.LineStats)
	check("accounting line", line, lineTable(func() []accounting.LineStats { return []accounting.LineStats{*line} }))
	banned := new(bans.Stats)
	check("bans", banned, banTable(func() bans.Stats { return *banned }))
	dropped := new(firewall.Snapshot)
	check("firewall", dropped, firewallTable(func() []firewall.Snapshot { return []firewall.Snapshot{*dropped} }))
	pool := new(addresses.Stats)
	check("pool", pool, poolTable(func() []addresses.Stats { return []addresses.Stats{*pool} }))
}

// What is summed up over sessions is complete.
func TestAddCounters(t *testing.T) {
	var c, sum gopptp.Counters
	next := uint64(1)
	fill(t, reflect.ValueOf(&c).Elem(), "", &next, make(map[uint64]string))
	add(&sum, &c)
	assert.Equal(t, c, sum)
	add(&sum, &c)
	for i := range reflect.TypeFor[gopptp.Counters]().NumField() {
		assert.Equal(t, 2*reflect.ValueOf(c).Field(i).Uint(), reflect.ValueOf(sum).Field(i).Uint())
	}
}

func TestCauseLabels(t *testing.T) {
	seen := make(map[string]bool)
	for c := gopptp.CauseNone; ; c++ {
		label, known := causeLabel(c)
		if !known {
			break
		}
		assert.Regexp(t, `^[a-z_]+$`, label)
		seen[label] = true
	}
	assert.Greater(t, len(seen), 20)
	assert.True(t, seen["authentication_backend"])
}
