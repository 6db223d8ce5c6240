package users

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/examples/gateway/internal/config"
)

func TestDiff(t *testing.T) {
	dir := t.TempDir()
	load := func(secrets string) *Store {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "secrets"), []byte(secrets), 0o600))
		cfg, problems := config.Parse(filepath.Join(dir, "gw.yaml"), []byte("secrets_file: secrets\nusers: [{name: inline, password: x}]\n"))
		require.Empty(t, problems)
		store, problems := Load(cfg)
		require.Empty(t, problems.Errors())
		return store
	}
	one := load("a * x *\nb * x 10.8.0.7\nc * x *\nd * x *\n* * y *\n")
	assert.Empty(t, Diff(one, load("d * x *\nc * x *\nb * x 10.8.0.7\n# more\na * x\n* * y\n")))
	assert.Equal(t, []string{
		`secrets_file: *: another secret`,
		`secrets_file: "a": another secret and the address 10.8.0.9`,
		`secrets_file: "b": no fixed address`,
		`secrets_file: "d": removed`,
		`secrets_file: "e": added`,
	}, Diff(one, load("a * z 10.8.0.9\nb * x *\nc * x *\ne * x *\n* * z *\n")))
}
