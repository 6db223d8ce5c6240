//go:build !linux

package loop

import "net"

// Watch is a TCP connection whose reader is the loop itself, on Linux.
type Watch struct{}

// Watch reports false: it cannot be had here.
func (l *Loop) Watch(net.Conn, func()) (*Watch, bool) { return nil, false }

// Read is never called.
func (w *Watch) Read([]byte) (int, error) { return 0, net.ErrClosed }

// Write is never called.
func (w *Watch) Write([]byte) (int, error) { return 0, net.ErrClosed }

// Stop is never called.
func (w *Watch) Stop() {}

type poller struct{}

func (p *poller) close() {}
