package config

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gopptp/gopptp/examples/gateway/internal/diag"
)

// Load reads and checks a configuration file. The configuration can be used if
// there are no problems but warnings; it is nil if the file cannot be read as
// YAML.
func Load(file string) (*Config, diag.Problems) {
	text, err := ReadFile(file)
	if err != nil {
		return nil, diag.Problems{Unreadable(file, err)}
	}
	cfg, problems := Parse(file, text)
	if cfg != nil && cfg.holdsSecrets() {
		problems.Add(WorldReadable(file)...)
	}
	return cfg, problems
}

// maxFile bounds what is read of a file, in octets: more than a hundred thousand users are.
const maxFile = 16 << 20

// ReadFile reads a file that somebody has written, and not one without an end.
func ReadFile(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = &fs.PathError{Op: "read", Path: file, Err: errors.New("it has more than 16 MiB")}
	}
	return text, err
}

// Parse is Load on the text of a file. The name is for what is reported, and
// relative names in the text are relative to its directory.
func Parse(file string, text []byte) (*Config, diag.Problems) {
	d := decoder{source: newSource(file)}
	cfg := Default()
	if !d.decode(text, cfg) {
		return nil, d.problems
	}
	cfg.source = d.source
	d.problems.Add(cfg.check()...)
	d.problems.Add(cfg.readURLs(filepath.Dir(file))...)
	d.problems.Add(cfg.readRADIUS(filepath.Dir(file))...)
	d.problems.Sort()
	web := &cfg.Admin.Web
	for _, f := range []*string{&cfg.SecretsFile, &web.TokensFile, &web.Certificate, &web.Key} {
		if *f != "" && !filepath.IsAbs(*f) {
			*f = filepath.Join(filepath.Dir(file), *f)
		}
	}
	return cfg, d.problems
}

// holdsSecrets reports whether there are secrets in the file itself.
func (c *Config) holdsSecrets() bool {
	return len(c.Users) > 0 || c.radiusSecrets() || c.Database.holdsSecrets()
}

// IsEmpty reports whether the file has no keys at all.
func (c *Config) IsEmpty() bool { return len(c.source.lines) == 0 }

// At returns a problem of the key at path, such as users[1].name, in the
// configuration file.
func (c *Config) At(path, text string) diag.Problem {
	return diag.Problem{File: c.source.file, Line: c.source.line(path), Key: path, Text: text}
}

// Wrong reports whether the key at path has been reported already, so that its
// value means nothing.
func (c *Config) Wrong(path string) bool { return c.source.wrong[path] }

// wrongWithin reports whether the key at path has been reported, or one in it.
func (c *Config) wrongWithin(path string) bool {
	for wrong := range c.source.wrong {
		if rest, in := strings.CutPrefix(wrong, path); in && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			return true
		}
	}
	return false
}

// Unreadable is the problem of a file that cannot be read.
func Unreadable(file string, err error) diag.Problem {
	var path *fs.PathError // has the file's name once more
	if errors.As(err, &path) {
		err = path.Err
	}
	return diag.Problem{File: file, Text: "cannot be read: " + err.Error()}
}

// WorldReadable warns of a file with secrets that everybody may read.
func WorldReadable(file string) diag.Problems {
	if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o004 != 0 {
		return diag.Problems{{File: file, Warning: true, Text: "holds secrets and can be read by everybody: chmod 600 it"}}
	}
	return nil
}
