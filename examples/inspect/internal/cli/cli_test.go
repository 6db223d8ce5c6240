package cli_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	stock "github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/examples/inspect/internal/cli"
	"github.com/gopptp/gopptp/examples/inspect/internal/conversation"
	"github.com/gopptp/gopptp/examples/inspect/internal/scene"
)

// run is the command with its standard input.
func run(stdin []byte, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = cli.Main(args, bytes.NewReader(stdin), &out, &errs)
	return code, out.String(), errs.String()
}

// session is a capture of one that is up.
func session(t testing.TB, password string) []byte {
	var b bytes.Buffer
	cfg := scene.Default()
	cfg.Password = password
	s := scene.New(&b, cfg)
	s.Connect()
	s.At(2*time.Second, func() {
		if s.Up(scene.Client) {
			s.Ping(scene.Client, 3)
		}
	})
	s.Run(5 * time.Second)
	return b.Bytes()
}

func write(t testing.TB, name string, data []byte) string {
	file := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(file, data, 0o600))
	return file
}

func TestReport(t *testing.T) {
	good := session(t, "correct horse")
	code, out, errs := run(nil, write(t, "a.pcap", good))
	require.Equal(t, cli.ExitOK, code, errs)
	require.Contains(t, out, "LCP Configure-Request")
	require.Contains(t, out, "verdict: good (up)")
	require.Empty(t, errs)

	code, out, _ = run(good, "--summary", "-")
	require.Equal(t, cli.ExitOK, code)
	require.NotContains(t, out, "LCP Configure-Request")
	require.Contains(t, out, "verdict: good (up)")

	code, out, errs = run(session(t, "wrong"), "-")
	require.Equal(t, cli.ExitFailed, code)
	require.Contains(t, out, "E=691")
	require.Empty(t, errs)

	code, _, errs = run(good[:len(good)-3], "-")
	require.Equal(t, cli.ExitOK, code)
	require.Contains(t, errs, "ends within a packet")
}

func TestJSON(t *testing.T) {
	code, out, _ := run(session(t, "correct horse"), "--json", "-")
	require.Equal(t, cli.ExitOK, code)
	var r conversation.Report
	require.NoError(t, json.Unmarshal([]byte(out), &r))
	require.Equal(t, conversation.Up, r.Connections[0].Calls[0].Verdict.Code)
	require.NotEmpty(t, r.Connections[0].Timeline)
	_, out, _ = run(session(t, "correct horse"), "--json", "--summary", "-")
	r = conversation.Report{}
	require.NoError(t, json.Unmarshal([]byte(out), &r))
	require.Empty(t, r.Connections[0].Timeline)
}

func TestDecrypt(t *testing.T) {
	hash := chap.NTPasswordHash("correct horse")
	capture := session(t, "correct horse")
	for name, flag := range map[string][]string{
		"password": {"--password-file", write(t, "password", []byte("correct horse\r\n"))},
		"NT hash":  {"--nt-hash-file", write(t, "hash", []byte(hex.EncodeToString(hash[:])+"\n"))},
	} {
		t.Run(name, func(t *testing.T) {
			to := filepath.Join(t.TempDir(), "out.pcap")
			code, out, errs := run(capture, append(flag, "--decrypt-to", to, "-")...)
			require.Equal(t, cli.ExitOK, code, errs)
			require.Contains(t, out, "3 decrypted")
			require.Contains(t, out, "ICMPv4 10.0.0.2 - 10.0.0.1: 3 packets")
			require.NotContains(t, out, "correct horse")
			require.NotContains(t, strings.ToLower(out), hex.EncodeToString(hash[:]))

			f, err := os.Open(to)
			require.NoError(t, err)
			defer f.Close()
			if runtime.GOOS != "windows" {
				info, err := f.Stat()
				require.NoError(t, err)
				require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
			}
			r, err := pcapgo.NewReader(f)
			require.NoError(t, err)
			require.Equal(t, stock.LinkTypeRaw, r.LinkType())
			n := 0
			for p := range gopacket.NewPacketSource(r, r.LinkType()).Packets() {
				require.NotNil(t, p.Layer(stock.LayerTypeICMPv4))
				n++
			}
			require.Equal(t, 3, n)
		})
	}
}

func TestErrors(t *testing.T) {
	capture := write(t, "a.pcap", session(t, "correct horse"))
	missing := filepath.Join(t.TempDir(), "none")
	for name, tt := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no capture":         {nil, cli.ExitUsage, "one capture is wanted"},
		"two":                {[]string{capture, capture}, cli.ExitUsage, "one capture is wanted"},
		"unknown flag":       {[]string{"--frob", capture}, cli.ExitUsage, "--frob"},
		"both secrets":       {[]string{"--password-file", capture, "--nt-hash-file", capture, capture}, cli.ExitUsage, "password-file"},
		"missing":            {[]string{missing}, cli.ExitFailure, missing},
		"no capture file":    {[]string{write(t, "text", []byte("this is not it"))}, cli.ExitFailure, "neither a pcap nor a pcapng"},
		"missing password":   {[]string{"--password-file", missing, capture}, cli.ExitFailure, missing},
		"empty password":     {[]string{"--password-file", write(t, "p", []byte("\n")), capture}, cli.ExitFailure, "one line"},
		"two lines":          {[]string{"--password-file", write(t, "p", []byte("secret1\nsecret2")), capture}, cli.ExitFailure, "one line"},
		"bad hash":           {[]string{"--nt-hash-file", write(t, "p", []byte("secret3")), capture}, cli.ExitFailure, "32 hexadecimal digits"},
		"nowhere to decrypt": {[]string{"--decrypt-to", filepath.Join(missing, "x"), capture}, cli.ExitFailure, missing},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errs := run(nil, tt.args...)
			require.Equal(t, tt.code, code)
			require.Empty(t, out)
			require.Contains(t, errs, tt.says)
			require.Equal(t, 1, strings.Count(errs, "\n"), errs)
			require.NotContains(t, errs, "secret")
		})
	}
	code, out, _ := run(nil, "--help")
	require.Equal(t, cli.ExitOK, code)
	require.Contains(t, out, "Exit codes:")
}

// Without PPTP there is nothing to be content with.
func TestNothing(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, pcapgo.NewWriter(&b).WriteFileHeader(65536, stock.LinkTypeEthernet))
	code, out, _ := run(b.Bytes(), "-")
	require.Equal(t, cli.ExitFailed, code)
	require.Contains(t, out, "no PPTP")
}
