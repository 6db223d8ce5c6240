package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/gopptp/gopptp/examples/gateway/internal/config"
)

// maxAnswer bounds what a client reads.
const maxAnswer = 64 << 20

// Client asks a running gateway.
type Client struct {
	http http.Client
	host string
}

// NewClient returns a client of an address.
func NewClient(addr config.AdminAddr) *Client {
	c := &Client{host: addr.Address}
	if addr.Network == "unix" {
		c.host = "gateway" // does not matter
	}
	c.http.Timeout = 10 * time.Second
	c.http.Transport = &http.Transport{ // by no proxy
		DisableKeepAlives: true, // a command asks once
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, addr.Network, addr.Address)
		},
	}
	return c
}

// Get returns the answer to a GET of path, such as /stats.
func (c *Client) Get(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.host+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var at *url.Error // has the URL, which means nothing to an operator
		if errors.As(err, &at) {
			err = at.Err
		}
		return nil, fmt.Errorf("the gateway does not answer: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch {
	case err != nil:
		return nil, fmt.Errorf("the gateway's answer breaks off: %w", err)
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("the gateway refuses: %s: %s", resp.Status, bytes.TrimSpace(body))
	}
	return body, nil
}
