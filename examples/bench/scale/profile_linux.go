package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// profile begins a CPU profile of the gateway, if that is wanted, and returns what waits
// for its end.
func (r *run) profile(g *gateway, name string) func() error {
	if r.profiles == "" {
		return func() error { return nil }
	}
	done := make(chan error, 1)
	go func() {
		const during = 5 // seconds
		done <- r.fetch(g, fmt.Sprintf("/debug/pprof/profile?seconds=%d", during), name)
	}()
	return func() error { return <-done }
}

// snapshot takes a profile of the gateway's heap, and its own figures beside it, if that
// is wanted.
func (r *run) snapshot(g *gateway, name string) error {
	if r.profiles == "" {
		return nil
	}
	if err := r.fetch(g, "/debug/pprof/heap?gc=1", name); err != nil {
		return err
	}
	stats, err := g.get(r.ctx, "/stats")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.profiles, name+".json"), stats, 0o644)
}

// fetch writes what the gateway answers into a file.
func (r *run) fetch(g *gateway, path, name string) error {
	text, err := g.get(r.ctx, path)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(r.profiles, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.profiles, name+".pprof"), text, 0o644)
}
