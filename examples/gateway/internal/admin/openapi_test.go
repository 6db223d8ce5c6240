package admin

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func init() {
	for _, kind := range []string{"application/x-pcapng", "application/x-ndjson", "text/event-stream"} {
		openapi3filter.RegisterBodyDecoder(kind, openapi3filter.FileBodyDecoder)
	}
}

func described(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(description)
	require.NoError(t, err)
	require.NoError(t, doc.Validate(t.Context()))
	return doc
}

// Every route is described, with its role, and every description has a route.
func TestRoutesAreDescribed(t *testing.T) {
	doc := described(t)
	routes := make(map[string]string)
	for _, r := range new(Server).routes() {
		if strings.HasPrefix(r.path, api) {
			routes[r.method+" "+r.path] = r.role.String()
		}
	}
	descriptions := make(map[string]string)
	ids := make(map[string]bool)
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			descriptions[method+" "+path], _ = op.Extensions["x-role"].(string)
			assert.False(t, ids[op.OperationID], op.OperationID)
			ids[op.OperationID] = true
		}
	}
	assert.Equal(t, routes, descriptions)
}

// checked compares whatever the gateway answers with the description.
type checked struct {
	http.RoundTripper
	t      *testing.T
	router routers.Router
}

// check has a client's answers compared.
func check(t *testing.T, c *Client) {
	router, err := gorillamux.NewRouter(described(t))
	require.NoError(t, err)
	c.http.Transport = checked{c.http.Transport, t, router}
}

// RoundTrip implements http.RoundTripper.
func (c checked) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := c.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	route, params, err := c.router.FindRoute(r)
	if err != nil { // of what is not there
		assert.Contains(c.t, []int{http.StatusNotFound, http.StatusMethodNotAllowed}, resp.StatusCode, r.URL)
		return resp, nil
	}
	if resp.StatusCode == http.StatusMisdirectedRequest {
		return resp, nil // of another address
	}
	if kind := resp.Header.Get("Content-Type"); kind != "application/json" && kind != "application/problem+json" && resp.StatusCode != http.StatusNoContent {
		return resp, nil // a stream
	}
	body, err := io.ReadAll(resp.Body)
	require.NoError(c.t, err)
	resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(body))
	assert.NoError(c.t, openapi3filter.ValidateResponse(r.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route},
		Status:                 resp.StatusCode, Header: resp.Header, Body: io.NopCloser(bytes.NewReader(body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	}), "%s %s: %s", r.Method, r.URL, body)
	return resp, nil
}

// Without its own test: what is served is the description.
func TestOpenAPI(t *testing.T) {
	w := start(t, nil)
	text, err := w.client.Get(t.Context(), api+"/openapi.json")
	require.NoError(t, err)
	assert.Equal(t, description, text)
	assert.Contains(t, string(text), `"openapi": "3.1.0"`)
}
