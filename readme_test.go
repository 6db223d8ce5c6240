package gopptp_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var readmeCode = regexp.MustCompile("(?s)```go\n(.*?)```")

// TestReadmeCompiles builds each piece of Go in the README as the body of a
// function, with what the text around it takes for granted.
func TestReadmeCompiles(t *testing.T) {
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	found := readmeCode.FindAllStringSubmatch(string(text), -1)
	require.NotEmpty(t, found)

	dir, err := filepath.Abs(".")
	require.NoError(t, err)
	var code strings.Builder
	code.WriteString(`package readme
import (
	"context"; "log"; "log/slog"; "net"; "net/netip"; "os"
	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/dataplane"
	"github.com/gopptp/gopptp/userspace"
)
var (
	_ = net.Listen
	_ = netip.ParseAddr
	_ = os.Getenv
	_ = userspace.Open
	_ = dataplane.Open
	_ = slog.Default
)
var (
	ctx     context.Context
	gateway netip.Addr
	lookup  func(context.Context, string) (*gopptp.LocalUser, error)
)
`)
	for i, m := range found {
		args := ""
		if !strings.Contains(m[1], "plane, err :=") {
			args = "plane gopptp.Dataplane"
		}
		fmt.Fprintf(&code, "func snippet%d(%s) {\n%s}\n", i, args, m[1])
	}
	// The overlay puts the file into the module without writing there.
	tmp := t.TempDir()
	source := filepath.Join(tmp, "readme.go")
	require.NoError(t, os.WriteFile(source, []byte(code.String()), 0o600))
	overlay, err := json.Marshal(map[string]map[string]string{
		"Replace": {filepath.Join(dir, "internal", "readme", "readme.go"): source},
	})
	require.NoError(t, err)
	overlayFile := filepath.Join(tmp, "overlay.json")
	require.NoError(t, os.WriteFile(overlayFile, overlay, 0o600))
	out, err := exec.Command("go", "build", "-overlay", overlayFile, "-o", os.DevNull, "./internal/readme").CombinedOutput()
	require.NoError(t, err, "%s", out)
}
