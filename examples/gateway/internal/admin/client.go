package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"

	"github.com/gopptp/gopptp/examples/gateway/internal/config"
)

const (
	// maxAnswer bounds what a client reads, but for streams.
	maxAnswer = 64 << 20
	// answerTimeout is how long it waits for it.
	answerTimeout = 30 * time.Second
)

// Errors of a client, for programs that tell them apart.
var (
	ErrNotRunning   = errors.New("the gateway does not answer")
	ErrNoPermission = errors.New("no permission")
)

// Client asks a running gateway.
type Client struct {
	http http.Client
	addr config.AdminAddr
}

// NewClient returns a client of an address.
func NewClient(addr config.AdminAddr) *Client {
	c := &Client{addr: addr}
	c.http.Transport = &http.Transport{ // by no proxy
		MaxIdleConnsPerHost: 1,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: answerTimeout}).DialContext(ctx, addr.Network, addr.Address)
		},
	}
	return c
}

// Get returns the answer to a GET of path, such as /stats.
func (c *Client) Get(ctx context.Context, path string) ([]byte, error) {
	return c.ask(ctx, http.MethodGet, path, nil)
}

// Do has the API do something: method and path below /api/v1, and a body that is encoded as
// JSON unless it is nil. The answer is decoded into answer, unless that is nil.
func (c *Client) Do(ctx context.Context, method, path string, body, answer any) error {
	text, err := c.ask(ctx, method, api+path, body)
	if err != nil || answer == nil {
		return err
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("the gateway's answer: %w", err)
	}
	return nil
}

func (c *Client) ask(ctx context.Context, method, path string, body any) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	r, err := c.open(ctx, method, path, body)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	answer, err := io.ReadAll(io.LimitReader(r, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("the gateway's answer breaks off: %w", err)
	}
	return answer, nil
}

// Stream returns an answer that comes little by little, of a path below /api/v1.
func (c *Client) Stream(ctx context.Context, path string) (io.ReadCloser, error) {
	return c.open(ctx, http.MethodGet, api+path, nil)
}

func (c *Client) open(ctx context.Context, method, path string, body any) (io.ReadCloser, error) {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(text)
	}
	host := "localhost"
	if c.addr.Network != "unix" {
		host = c.addr.Address
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+host+path, content)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(err)
	}
	if resp.StatusCode/100 != 2 {
		defer resp.Body.Close()
		return nil, refusal(resp)
	}
	return resp.Body, nil
}

// unreachable says why there was no answer.
func (c *Client) unreachable(err error) error {
	var at *url.Error // has the URL, which means nothing to an operator
	if errors.As(err, &at) {
		err = at.Err
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w for %v: it is for the gateway's own user, root and, if there is one, the group in admin.group", ErrNoPermission, c.addr)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w at %v: it is not running, or has another configuration", ErrNotRunning, c.addr)
	}
	return fmt.Errorf("%w: %w", ErrNotRunning, err)
}

// refusal says what the gateway said.
func refusal(resp *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return fmt.Errorf("the gateway's answer breaks off: %w", err)
	}
	p := new(Problem)
	if json.Unmarshal(text, p) == nil && p.Detail != "" {
		return p
	}
	return fmt.Errorf("the gateway refuses: %s: %s", resp.Status, bytes.TrimSpace(text))
}
