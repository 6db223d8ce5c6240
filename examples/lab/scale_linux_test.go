package lab

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	// envScale is the Markdown file to write the results of TestScale into.
	envScale = "LAB_SCALE"

	scaleSessions = 50_000
	scaleBegin    = "<!-- bench-scale-lab: begin -->\n"
	scaleEnd      = "<!-- bench-scale-lab: end -->\n"
)

// TestScale has bench/scale measure what very many sessions take of memory, also where the
// host has no descriptors for them: Debian's kernel has its own, on emulated processors.
// These are too slow for their time to mean anything, so nobody asks there who is silent.
func TestScale(t *testing.T) {
	document := os.Getenv(envScale)
	if document == "" {
		t.Skip("has 50,000 sessions on an emulated machine, which takes a quarter of an hour: make bench-scale-lab")
	}
	need(t, namespaces)
	dir, began := environmentDir(t), time.Now()
	for _, program := range []string{"bench/scale", "gateway", "loadgen"} {
		goCommand(t, "..", "build", "-o", filepath.Join(dir, filepath.Base(program)), "./"+program)
	}
	e := environment{kind: emulatedPair, limit: 55 * time.Minute, size: "6G"}
	res := e.boot(t, job{
		Dir: dir,
		Args: []string{filepath.Join(dir, "scale"), "-programs", dir, "-sizes", strconv.Itoa(scaleSessions),
			"-rounds", "1", "-storm", "0", "-neighbours", "0", "-load", "0", "-echo", "2h",
			"-limit", e.limit.String(), "-results", dir},
		Env: []string{"TMPDIR=/run"}, // for sockets, which have no place on the host's files
	})
	require.True(t, res.ended(t))
	require.Equal(t, "0", res.exit, "exit status")

	var r struct {
		Machine  string
		Notes    []string
		Measures []struct {
			Name, Unit string
			Series     []struct{ Values []float64 }
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "scale.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &r))
	section := fmt.Sprintf("    make bench-scale-lab\n\n%s; %s, in %v.\n\n| %d sessions | |\n|---|---|\n",
		r.Machine, began.Format(time.DateOnly), time.Since(began).Round(time.Second), scaleSessions)
	for _, m := range r.Measures {
		if m.Unit == "KiB" {
			section += fmt.Sprintf("| %s, KiB | %.1f |\n", m.Name, m.Series[0].Values[0])
		}
	}
	for _, n := range r.Notes {
		section += "\n- " + n + "\n"
	}
	t.Logf("\n%s", section)
	writeSection(t, document, scaleBegin, section, scaleEnd)
}
