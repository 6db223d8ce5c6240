package report

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func example() *Report {
	r := &Report{Command: "make it", Machine: "a machine", Date: "2026-11-25", Took: 90 * time.Second, Rounds: 3}
	m := r.Measure("speed", "Gbit/s", "other")
	for i, v := range []float64{1, 2, 4} {
		m.Add(i, "other", v)
	}
	m.Add(0, "ours", 2)
	m.Add(2, "ours", 12) // the second round failed
	m.Add(0, "none", math.NaN())
	r.Splits = []*Split{{Way: "ours", Direction: "in", PerGB: 2500 * time.Millisecond, Parts: []PartTime{
		{"receive", KindKernel, 0.75}, {"decapsulate", KindOwn, 0.15}, {"Go runtime", KindRuntime, 0.1}, {"rest", KindOwn, 0},
	}}}
	return r
}

func TestSpread(t *testing.T) {
	m := example().Measures[0]
	require.Equal(t, Spread{1, 2, 4, 3}, m.Of("other"))
	require.Equal(t, Spread{2, 7, 12, 2}, m.Of("ours"))
	require.Equal(t, Spread{2, 2.5, 3, 2}, m.Ratio("ours", "other"), "round by round")
	require.Equal(t, Spread{1, 4.5, 8, 2}, m.Beyond("ours", "other"))
	require.Zero(t, m.Of("none").N)
	require.Zero(t, m.Ratio("ours", "nobody").N)
}

func TestJSON(t *testing.T) {
	text, err := example().JSON()
	require.NoError(t, err)
	require.True(t, json.Valid(text))
	require.Contains(t, strings.Join(strings.Fields(string(text)), ""), `"Way":"ours","Values":[2,null,12]`)
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		bar Bar
		met bool
	}{
		{Bar{Measure: "speed", Way: "ours", To: "other", Least: 2.5}, true},
		{Bar{Measure: "speed", Way: "ours", To: "other", Least: 2.6}, false},
		{Bar{Measure: "speed", Way: "ours", To: "other", Most: 2.6}, true},
		{Bar{Measure: "speed", Way: "ours", To: "other", Most: 2.4}, false},
		{Bar{Measure: "speed", Way: "ours", To: "other", Beyond: 5}, true},
		{Bar{Measure: "speed", Way: "ours", To: "other", Beyond: 4}, false},
		{Bar{Measure: "speed", Way: "ours", Most: 7}, true},
		{Bar{Measure: "speed", Way: "ours", Most: 6}, false},
		{Bar{Measure: "speed", Way: "ours", Least: 7}, true},
		{Bar{Measure: "speed", Way: "ours", Least: 8}, false},
	} {
		verdicts := example().Judge([]Bar{c.bar})
		require.Len(t, verdicts, 1)
		require.Equal(t, c.met, verdicts[0].Met, "%+v", c.bar)
	}
	require.Empty(t, example().Judge([]Bar{
		{Measure: "weight", Way: "ours", To: "other", Least: 1},
		{Measure: "speed", Way: "none", To: "other", Least: 1},
	}), "what was not measured")
}

func TestMarkdown(t *testing.T) {
	text := example().Markdown([]Bar{
		{Measure: "speed", Way: "ours", To: "other", Least: 2},
		{Measure: "speed", Way: "ours", To: "other", Beyond: 1},
		{Measure: "speed", Way: "ours", Most: 7},
		{Measure: "speed", Way: "ours", Least: 8},
	}, "plot.svg")
	for _, line := range []string{
		"    make it",
		"![Ratios to wireguard-go](plot.svg)",
		"| speed: ours against other | ≥ 2.00 × | 2.50 (2.00–3.00) | met |",
		"| speed: ours against other | ≤ 1.00 Gbit/s more | 4.50 (1.00–8.00) | **missed** |",
		"| speed: ours | ≤ 7.00 Gbit/s | 7.00 (2.00–12.0) | met |",
		"| speed: ours | ≥ 8.00 Gbit/s | 7.00 (2.00–12.0) | **missed** |",
		"| other | 2.00 (1.00–4.00) | 1 |",
		"| none | – | – |",
		"| CPU of the gateway, TCP in, ms a gigabyte | ours |",
		"| receive | 1875 |",
		"| rest | – |",
		"| *all* | *2500* |",
		"| *system calls* | *1875* |",
		"| *our code but the cipher* | *15.0 %* |",
		"| *with the Go runtime* | *25.0 %* |",
	} {
		require.Contains(t, text, line+"\n")
	}
}

func TestNumber(t *testing.T) {
	for v, text := range map[float64]string{
		0: "0.00", 1.234: "1.23", 12.34: "12.3", 123.4: "123", 1234: "1,230", 123456: "123,000", 1234567: "1,230,000", -1234: "-1,230", -5: "-5.00",
	} {
		require.Equal(t, text, number(v))
	}
	require.Equal(t, "–", number(math.NaN()))
}

func TestGrid(t *testing.T) {
	require.Equal(t, "| | ours | other | nobody |\n|---|---|---|---|\n| speed, Gbit/s | 7.00 (2.00–12.0) | 2.00 (1.00–4.00) | – |\n\n",
		example().Grid([]string{"speed", "weight"}, []string{"ours", "other", "nobody"}))
}

func TestInsert(t *testing.T) {
	const begin, end = "<!-- it: begin -->", "<!-- it: end -->"
	once := string(Insert([]byte("# Title\n"), []byte("one\n"), "it"))
	require.Equal(t, "# Title\n\n"+begin+"\none\n"+end+"\n", once)
	again := string(Insert([]byte(once+"\nafter\n"), []byte("two"), "it"))
	require.Equal(t, "# Title\n\n"+begin+"\ntwo\n"+end+"\n\nafter\n", again)
	other := string(Insert([]byte(again), []byte("three"), "other"))
	require.Equal(t, again+"\n<!-- other: begin -->\nthree\n<!-- other: end -->\n", other)
}

func TestSave(t *testing.T) {
	dir := t.TempDir()
	to := Place{Name: "it", Results: filepath.Join(dir, "a", "b"), Document: filepath.Join(dir, "c.md")}
	r := example()
	for range 2 {
		require.NoError(t, r.Save(to, "<svg/>", func(plot string) string { return "see " + plot }))
	}
	for name, text := range map[string]string{
		"a/b/it.svg": "<svg/>", "c.md": "\n\n<!-- bench-it: begin -->\nsee a/b/it.svg\n<!-- bench-it: end -->\n",
	} {
		got, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, text, string(got))
	}
	require.FileExists(t, filepath.Join(dir, "a/b/it.json"))

	require.NoError(t, r.Save(Place{Name: "it"}, "", nil), "nowhere")
}

func TestPlot(t *testing.T) {
	r := example()
	r.Measures[0].Name = "speed & more"
	text := r.Plot([]string{"speed & more", "nothing"}, "ours", "none")
	require.Contains(t, text, ">2.50<")
	require.Equal(t, 1, strings.Count(text, `class="o"`))
	require.NotContains(t, text, ">none<")
	in := xml.NewDecoder(strings.NewReader(text))
	for {
		if _, err := in.Token(); errors.Is(err, io.EOF) {
			break
		} else {
			require.NoError(t, err)
		}
	}
}
