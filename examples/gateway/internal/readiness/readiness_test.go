package readiness

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestGate(t *testing.T) {
	g := New()
	ask := func() (int, string) {
		w := httptest.NewRecorder()
		g.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
		return w.Code, w.Body.String()
	}
	want := func(code int, body string) {
		t.Helper()
		c, b := ask()
		assert.Equal(t, code, c)
		assert.Equal(t, body, b)
		assert.Equal(t, code == 200, g.Ready())
	}
	want(503, "not listening yet\n")
	var one, other string
	g.Open(func() string { return one }, func() string { return other })
	want(200, "ready\n")
	one, other = "draining", "no address is left"
	want(503, "draining\nno address is left\n")
	one = ""
	want(503, "no address is left\n")
	other = ""
	g.Close("stopping")
	want(503, "stopping\n")
}
