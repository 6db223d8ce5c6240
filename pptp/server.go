package pptp

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// Dial opens a TCP connection to address, "host:port", and starts a Conn on
// it as the originator. The port is usually 1723. The context is for the TCP
// connection only; h is told how the control connection fares.
func Dial(ctx context.Context, address string, cfg ConnConfig, h Handler) (*Conn, error) {
	cfg.Originator = true
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	c := NewConn(nc, cfg, h)
	c.Start()
	return c, nil
}

// acceptPause is how long Serve waits after an error of Accept that may pass,
// such as a lack of descriptors.
const acceptPause = 50 * time.Millisecond

// Serve accepts TCP connections and starts a Conn on each, with the Handler
// that newHandler returns for it; newHandler must not block, and refuses a
// connection by returning nil. When ctx is done, Serve closes ln, stops all
// connections, waits until they have ended, and returns nil. It does the same
// and returns an error if ln is closed by someone else; other errors of Accept
// are taken as passing. An invalid configuration is an error at once.
//
// Connections that never start a control connection are closed after
// HandshakeTimeout; how many there may be is for newHandler to decide.
func Serve(ctx context.Context, ln net.Listener, cfg ConnConfig, newHandler func(net.Conn) Handler) error {
	cfg.Originator = false
	if err := cfg.Validate(); err != nil {
		_ = ln.Close()
		return err
	}
	cfg.setDefaults()
	defer context.AfterFunc(ctx, func() { _ = ln.Close() })()

	var (
		mu    sync.Mutex
		conns = make(map[*Conn]struct{})
		wg    sync.WaitGroup
	)
	defer wg.Wait()
	defer func() {
		mu.Lock()
		defer mu.Unlock()
		for c := range conns {
			c.Do(func() { c.Stop(StopLocalShutdown) })
		}
	}()
	for {
		nc, err := ln.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = nc.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil:
			select {
			case <-ctx.Done():
			case <-time.After(acceptPause):
			}
			continue
		}
		h := newHandler(nc)
		if h == nil {
			_ = nc.Close()
			continue
		}
		c := newConn(nc, &cfg, h)
		c.ended = func() {
			mu.Lock()
			delete(conns, c)
			mu.Unlock()
			wg.Done()
		}
		wg.Add(1)
		mu.Lock()
		conns[c] = struct{}{}
		mu.Unlock()
		c.Start()
	}
}
