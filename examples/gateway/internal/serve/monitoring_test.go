package serve

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const monitoringDir = "../../monitoring/"

// The alerts are what Prometheus takes, and come when they should.
func TestAlerts(t *testing.T) {
	if _, err := exec.LookPath("promtool"); err != nil {
		t.Skip("needs promtool: scripts/apt.sh prometheus")
	}
	for _, args := range [][]string{{"check", "rules", "alerts.yaml"}, {"test", "rules", "alerts_test.yaml"}} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, "promtool", args...)
		cmd.Dir = monitoringDir
		out, err := cmd.CombinedOutput()
		assert.NoError(t, err, "%s", out)
	}
}

// Each alert has a test: that it comes, and with what words.
func TestEveryAlertIsTested(t *testing.T) {
	rules, err := os.ReadFile(monitoringDir + "alerts.yaml")
	require.NoError(t, err)
	tests, err := os.ReadFile(monitoringDir + "alerts_test.yaml")
	require.NoError(t, err)
	names := regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(string(rules), -1)
	require.Greater(t, len(names), 20)
	for _, name := range names {
		assert.Regexp(t, `alertname: `+name[1]+`\n +exp_alerts:\n +- exp_labels: `, string(tests))
	}
}

// dashboard is what a test looks at in dashboard.json.
type dashboard struct {
	UID           string
	Title         string
	SchemaVersion int
	Templating    struct {
		List []struct{ Name, Type string }
	}
	Panels []struct {
		ID                       int
		Type, Title, Description string
		GridPos                  struct{ H, W, X, Y int }
		FieldConfig              struct {
			Defaults struct{ Unit string }
		}
		Targets []struct{ RefID, Expr, LegendFormat string }
	}
}

func readDashboard(t *testing.T) (d dashboard) {
	b, err := os.ReadFile(monitoringDir + "dashboard.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &d))
	return d
}

// Every panel says what it shows and in what, and none covers another.
func TestDashboard(t *testing.T) {
	d := readDashboard(t)
	assert.NotEmpty(t, d.UID)
	assert.NotEmpty(t, d.Title)
	assert.Positive(t, d.SchemaVersion)
	assert.Len(t, d.Templating.List, 2)
	ids, titles, taken := make(map[int]bool), make(map[string]bool), make(map[[2]int]string)
	for _, p := range d.Panels {
		assert.False(t, ids[p.ID], p.Title)
		assert.False(t, titles[p.Title], p.Title)
		ids[p.ID], titles[p.Title] = true, true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				assert.Empty(t, taken[[2]int{x, y}], "covered by %s", p.Title)
				taken[[2]int{x, y}] = p.Title
			}
		}
		assert.LessOrEqual(t, p.GridPos.X+p.GridPos.W, 24)
		if p.Type == "row" {
			continue
		}
		assert.NotEmpty(t, p.Description, p.Title)
		assert.NotEmpty(t, p.FieldConfig.Defaults.Unit, p.Title)
		assert.NotEmpty(t, p.Targets, p.Title)
		for _, target := range p.Targets {
			assert.NotEmpty(t, target.RefID, p.Title)
			assert.NotEmpty(t, target.LegendFormat, p.Title)
			assert.Contains(t, target.Expr, `instance=~"$instance"`, p.Title)
		}
	}
}

var (
	seriesName = regexp.MustCompile(`\b(gopptp|go|process)_[a-z0-9_]+\b`)
	selector   = regexp.MustCompile(`\b((?:gopptp|go|process)_[a-z0-9_]+)\{([^}]*)\}`)
	matcher    = regexp.MustCompile(`([a-z_]+)(=~|=|!=|!~)"([^"]*)"`)
)

// Whatever the dashboard and the alerts ask for is in a scrape of a gateway, with the
// labels that they want.
func TestMonitoringAsksForWhatThereIs(t *testing.T) {
	m := startMonitored(t, deadServer)
	text := m.scrape()
	have := make(map[string][]string) // labels of the series of a name
	for line := range strings.Lines(text) {
		if name := seriesName.FindString(line); name != "" && !strings.HasPrefix(line, "#") {
			have[name] = append(have[name], line)
		}
	}
	var exprs []string
	for _, p := range readDashboard(t).Panels {
		for _, target := range p.Targets {
			exprs = append(exprs, target.Expr)
		}
	}
	alerts, err := os.ReadFile(monitoringDir + "alerts.yaml")
	require.NoError(t, err)
	for _, part := range strings.Split(string(alerts), "expr: ")[1:] {
		expr, _, _ := strings.Cut(part, "labels: {severity")
		exprs = append(exprs, expr)
	}
	require.Greater(t, len(exprs), 60)
	for _, expr := range exprs {
		for _, name := range seriesName.FindAllString(expr, -1) {
			assert.NotEmpty(t, have[name], "%s, in %s", name, expr)
		}
		for _, s := range selector.FindAllStringSubmatch(expr, -1) {
			for _, want := range matcher.FindAllStringSubmatch(s[2], -1) {
				if want[1] == "instance" || want[1] == "job" || strings.HasPrefix(want[2], "!") {
					continue
				}
				// Of several values that may be, each has to be.
				for _, value := range strings.Split(want[3], "|") {
					label := regexp.MustCompile(want[1] + `="` + value + `"`)
					assert.Regexp(t, label, strings.Join(have[s[1]], ""), "%s, in %s", s[0], expr)
				}
			}
		}
	}
}
