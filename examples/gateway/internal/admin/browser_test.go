package admin

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// browser is a Chromium of its own.
type browser struct {
	t   *testing.T
	ctx context.Context
}

func openBrowser(t *testing.T) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("needs chromium: scripts/apt.sh chromium")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.WSURLReadTimeout(2*time.Minute), chromedp.WindowSize(1280, 800),
	)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	ctx, cancelBrowser := chromedp.NewExecAllocator(ctx, options...)
	ctx, cancelPage := chromedp.NewContext(ctx)
	t.Cleanup(func() {
		chromedp.Cancel(ctx) // and waits for its end
		cancelPage()
		cancelBrowser()
		cancel()
	})
	b := &browser{t, ctx}
	require.NoError(t, chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			t.Errorf("the page fails: %v", e.ExceptionDetails)
		case *log.EventEntryAdded: // such as what the policy forbids
			if e.Entry.Source == log.EntrySourceSecurity || e.Entry.Source == log.EntrySourceViolation {
				t.Errorf("the browser says: %s", e.Entry.Text)
			}
		}
	}))
	_, err = chromedp.Call(ctx, log.Enable, cdp.Empty{})
	require.NoError(t, err)
	return b
}

func (b *browser) run(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	require.NoError(b.t, chromedp.Do(b.ctx, actions...))
}

// result returns what an action does.
func result[T any](b *browser, action chromedp.Action[T]) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, action)
	require.NoError(b.t, err)
	return v
}

// text is what a user sees of an element.
func (b *browser) text(selector string) string {
	b.t.Helper()
	return result(b, chromedp.Text(css(selector)))
}

func css(selector string) chromedp.CSS { return chromedp.CSS(selector) }

// shoot keeps a picture of the page where SCREENSHOTS says, for people to look at.
func (b *browser) shoot(name string) {
	b.t.Helper()
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		return
	}
	picture := result(b, chromedp.FullScreenshot(100))
	require.NoError(b.t, os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o600))
}

// until waits for something in the page to be true.
func (b *browser) until(expression string) {
	b.t.Helper()
	for !result(b, chromedp.Evaluate[bool]("!!("+expression+")")) {
		time.Sleep(20 * time.Millisecond)
	}
}

// resize makes the window one of another device; zero: as it was.
func (b *browser) resize(width, height int) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: int64(width), Height: int64(height), DeviceScaleFactor: 1, Mobile: width > 0,
	})
	require.NoError(b.t, err)
}

// An operator logs in, sees a session come, disconnects it, and sees it go.
func TestPage(t *testing.T) {
	hang := make(chan struct{})
	var hangs atomic.Bool
	w := start(t, func(g *Gateway) {
		g.Sections = []Section{
			{"slow", func() any {
				if hangs.Load() {
					<-hang
				}
				return nil
			}},
			{"pools", func() any {
				return []map[string]any{{"name": "default", "size": 254, "used": 231}, {"name": "guests", "size": 65534, "used": 1200}}
			}},
			{"radius", func() any {
				return map[string]any{"in_flight": 3, "servers": []map[string]any{{"name": "192.0.2.53:1812", "state": "up", "requests": 1234}, {"name": "192.0.2.54:1812", "state": "dead", "requests": 7}}}
			}},
		}
	})
	s := w.publish("", "")
	b := openBrowser(t)

	b.run(chromedp.Navigate(s.url), chromedp.WaitVisible(css("#login")))
	b.shoot("login")
	b.run(chromedp.SendKeys(css("#token"), "gopptp_wrong"+kb.Enter), chromedp.WaitVisible(css("#problem")))
	assert.Equal(t, "the gateway does not know this token", b.text("#problem"))
	b.run(chromedp.SetValue(css("#token"), s.operate), chromedp.Click(css("#login button")), chromedp.WaitVisible(css("#empty")))
	assert.Equal(t, "No session is up.", b.text("#empty"))
	assert.Equal(t, "Letting users in", b.text("#state"))

	alice := w.dial("192.0.2.2", `alice <b onclick="x">`)
	w.dial("192.0.2.3", "bob")
	b.until(`document.querySelectorAll("#sessions tbody tr").length === 2`)
	b.until(`document.querySelector("#sessions tbody td[data-label='Rate in']").textContent.endsWith("bit/s")`)
	assert.Contains(t, b.text("#sessions tbody tr td"), `alice <b onclick="x">`, "is text, and no markup")
	assert.Contains(t, b.text("#sections"), "192.0.2.54:1812")
	b.shoot("sessions")
	b.resize(390, 800)
	b.shoot("phone")
	b.resize(0, 0)

	b.run(chromedp.SendKeys(css("#search"), "bob"))
	b.until(`document.querySelectorAll("#sessions tbody tr").length === 1`)
	b.run(chromedp.SendKeys(css("#search"), kb.Backspace+kb.Backspace+kb.Backspace))
	b.until(`document.querySelectorAll("#sessions tbody tr").length === 2`)
	b.run(chromedp.Click(css(`[data-sort=user]`)))
	b.until(`document.querySelector("th[aria-sort=descending]") && document.querySelector("#sessions tbody td").textContent.startsWith("bob")`)

	// Not without confirmation.
	button := `button[aria-label^="Disconnect alice"]`
	b.run(chromedp.Click(css(button)), chromedp.WaitVisible(css("#confirm")))
	b.shoot("confirm")
	assert.Contains(t, b.text("#question"), "Disconnect alice")
	b.run(chromedp.Click(css("#confirm button[value=no]")), chromedp.WaitNotVisible(css("#confirm")))
	assert.Equal(t, 2, w.gateway.Live.Len())
	b.run(chromedp.Click(css(button)), chromedp.Click(css("#yes")))
	select {
	case <-alice.Done():
	case <-b.ctx.Done():
		t.Fatal("the button did not disconnect")
	}
	b.until(`document.querySelectorAll("#sessions tbody tr").length === 1`)
	assert.Contains(t, b.text("#sessions tbody tr td"), "bob")

	b.run(chromedp.Click(css("#drain")), chromedp.Click(css("#yes")))
	b.until(`document.querySelector("#state.draining")`)
	assert.True(t, w.gateway.Server.Draining())
	b.run(chromedp.Click(css("#logout")), chromedp.WaitVisible(css("#login")))
	assert.Equal(t, http.StatusUnauthorized, s.status("GET", "/api/v1/state"))

	// Who may only look has nothing to press, and what does not answer is said not to.
	b.run(chromedp.SetValue(css("#token"), s.read), chromedp.Click(css("#login button")), chromedp.WaitVisible(css("#sessions")))
	b.until(`document.querySelectorAll("#sessions tbody tr").length === 1 && document.querySelector("#sessions button.danger").hidden && document.querySelector("#drain").hidden`)
	hangs.Store(true)
	defer close(hang)
	result(b, chromedp.Evaluate[int](`times.refresh = 20; times.answer = 500`))
	b.until(`document.querySelector("#problem").textContent === "The gateway does not answer."`)
	hangs.Store(false)
	b.until(`document.querySelector("#problem").hidden`)
}
