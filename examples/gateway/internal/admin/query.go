package admin

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// params are the parameters of a request's query: each at most once, and none that is not
// read. The first that is wrong stands.
type params struct {
	values url.Values
	read   []string
	err    error
}

func paramsOf(r *http.Request) *params {
	values, err := url.ParseQuery(r.URL.RawQuery)
	p := &params{values: values}
	if err != nil {
		p.fail("the query is not well formed: %v", err)
	}
	for name, v := range values {
		if len(v) > 1 {
			p.fail("%s is given %d times", name, len(v))
		}
	}
	return p
}

func (p *params) fail(format string, args ...any) {
	if p.err == nil {
		p.err = badRequest(format, args...)
	}
}

// end returns what is wrong with the query, once all parameters have been read.
func (p *params) end() error {
	for _, name := range slices.Sorted(maps.Keys(p.values)) {
		if !slices.Contains(p.read, name) {
			p.fail("unknown parameter %q", name)
		}
	}
	return p.err
}

func (p *params) text(name string) string {
	p.read = append(p.read, name)
	return p.values.Get(name)
}

func (p *params) number(name string, unset, least, most int) int {
	text := p.text(name)
	if text == "" {
		return unset
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		p.fail("%s: %q is not a number from %d to %d", name, text, least, most)
	}
	return n
}

func (p *params) boolean(name string) bool {
	text := p.text(name)
	switch text {
	case "true":
		return true
	case "", "false":
		return false
	}
	p.fail("%s: %q is neither true nor false", name, text)
	return false
}

func (p *params) duration(name string, unset, least, most time.Duration) time.Duration {
	text := p.text(name)
	if text == "" {
		return unset
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < least || d > most {
		p.fail("%s: %q is not a duration from %v to %v", name, text, least, most)
	}
	return d
}

// network reads an address or a network; the zero Prefix if there is none.
func (p *params) network(name string) netip.Prefix {
	text := p.text(name)
	if text == "" {
		return netip.Prefix{}
	}
	network, err := parseNetwork(text)
	if err != nil {
		p.fail("%s: %v", name, err)
	}
	return network
}

// parseNetwork reads an address, or a network like 192.0.2.0/24.
func parseNetwork(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	network, err := netip.ParsePrefix(text)
	if a := network.Addr(); a.Is4In6() && network.Bits() >= 96 { // as sources are written nowhere
		network = netip.PrefixFrom(a.Unmap(), network.Bits()-96)
	}
	switch {
	case err != nil:
		return netip.Prefix{}, badRequest("%q is neither an address nor a network, like 192.0.2.0/24", text)
	case network != network.Masked():
		return netip.Prefix{}, badRequest("%q has bits set behind its prefix: did you mean %v?", text, network.Masked())
	}
	return network, nil
}

// maxBody bounds the body of a request, whatever it is of.
const maxBody = 64 << 10

// decodeBody reads the body of a request, one JSON object, into v.
func decodeBody(r *http.Request, v any) error {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return problem(http.StatusUnsupportedMediaType, "the body must be application/json, and its Content-Type say so")
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return bodyProblem(err)
	}
	if _, err := d.Token(); err != io.EOF {
		return badRequest("the body has something behind its JSON object")
	}
	return nil
}

func bodyProblem(err error) error {
	var large *http.MaxBytesError
	var kind *json.UnmarshalTypeError
	var p *Problem
	switch {
	case errors.As(err, &p): // by an UnmarshalText of ours
		return p
	case errors.As(err, &large):
		return problem(http.StatusRequestEntityTooLarge, "the body has more than %d octets", maxBody)
	case errors.As(err, &kind) && kind.Field == "":
		return badRequest("the body must be a JSON object, not a %s", kind.Value)
	case errors.As(err, &kind):
		return badRequest("%s cannot be a %s", kind.Field, kind.Value)
	case errors.Is(err, io.EOF):
		return badRequest("the body is empty; it must be a JSON object")
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return badRequest("unknown member %s", name)
	}
	return badRequest("the body is not JSON: %v", err)
}
