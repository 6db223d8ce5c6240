package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/examples/gateway/internal/config"
)

// entries are what an entry of each list of entries with keys needs.
var entries = map[string][]string{
	"users":              {"name: alice", "password: correct"},
	"groups":             {"name: staff"},
	"pools":              {"name: default", "ranges: [10.8.0.0/24]"},
	"radius.servers":     {"address: 192.0.2.1:1812", "secret: testing"},
	"accounting.servers": {"address: 192.0.2.1:1813", "secret: testing"},
	"dynauth.clients":    {"source: 192.0.2.1/32", "secret: testing"},
}

// besides are what else there must be with a key.
var besides = map[string]string{"dynauth.listen": "clients: [{source: 192.0.2.1/32, secret: testing}]"}

// place is where in a file something wrong stands.
type place struct {
	key  string   // as it is reported
	file []string // the lines before it
	last string   // what its own line begins with
}

// inKey is the place of a value, or of what is in it.
func (p place) inKey(key string) place {
	below := place{key: strings.TrimPrefix(p.key+"."+key, "."), file: p.file, last: p.indent() + key + ": "}
	if p.last != "" {
		below.file = append(p.file[:len(p.file):len(p.file)], strings.TrimSuffix(p.last, " "))
	}
	return below
}

// inEntry is the first entry of the list that is at the place, with what it must have but
// for key.
func (p place) inEntry(key string) place {
	file := append(p.file[:len(p.file):len(p.file)], strings.TrimSuffix(p.last, " "))
	entry := place{key: p.key + "[0]", file: append(file, p.indent()+"-")}
	for _, line := range entries[p.key] {
		if !strings.HasPrefix(line, key+":") {
			entry.file = append(entry.file, entry.indent()+line)
		}
	}
	return entry
}

func (p place) indent() string {
	return strings.Repeat("  ", strings.Count(p.key, ".")+strings.Count(p.key, "[")+min(len(p.key), 1))
}

// write is a file with the value at the place, and the line of it.
func (p place) write(value string) (text string, line int) {
	lines := append(p.file[:len(p.file):len(p.file)], p.last+value)
	return strings.Join(lines, "\n") + "\n", len(lines)
}

// keysOf are the keys of a type that has some, with their types.
func keysOf(typ reflect.Type) (keys []string, types []reflect.Type) {
	if typ.Kind() != reflect.Struct {
		return nil, nil
	}
	for _, f := range reflect.VisibleFields(typ) {
		if key, ok := f.Tag.Lookup("yaml"); ok {
			keys, types = append(keys, key), append(types, f.Type)
		}
	}
	return keys, types
}

// Whatever is wrong with the value of whatever key, there is one line about it, which has
// the place and nothing that is secret, and the file stays as it is.
func TestBadValues(t *testing.T) {
	name := filepath.Join(t.TempDir(), "gw.yaml")
	checked := 0
	reject := func(p place, key, value string) {
		t.Helper()
		text, line := p.write(value)
		write(t, name, text)
		code, stdout, stderr := gateway("check-config", "-c", name)
		checked++
		assert.Equal(t, ExitUsage, code, text)
		assert.Empty(t, stdout, text)
		assert.NotContains(t, stderr, "hunter2", text)
		stderr = warning.ReplaceAllString(stderr, "")
		assert.Regexp(t, fmt.Sprintf(`\A%s:%d: %s: [^\n]{5,250}\n\z`, regexp.QuoteMeta(name), line, regexp.QuoteMeta(key)), stderr, text)
		now, err := os.ReadFile(name)
		require.NoError(t, err)
		require.Equal(t, text, string(now))
	}
	var walk func(p place, typ reflect.Type)
	value := func(p place, typ reflect.Type) {
		for typ.Kind() == reflect.Pointer && typ != reflect.TypeFor[*time.Location]() {
			typ = typ.Elem()
		}
		keys, _ := keysOf(typ)
		switch {
		case typ.Kind() == reflect.Slice:
			reject(p, p.key, "hunter2")
			reject(p, p.key, "{a: hunter2}")
			first := place{key: p.key + "[0]", file: p.file, last: p.last + "["}
			element := typ.Elem()
			if elements, _ := keysOf(element); elements != nil {
				require.NotEmpty(t, entries[p.key], "add what an entry of %s needs", p.key)
				walk(p, element)
				return
			}
			reject(first, first.key, "[hunter2]]")
			reject(first, first.key, "{a: hunter2}]")
			reject(first, first.key, "!hunter2 x]")
			if !anyText(element) {
				reject(first, first.key, unlikely+"]")
			}
		case keys != nil:
			reject(p, p.key, unlikely)
			reject(p, p.key, "[hunter2]")
			walk(p, typ)
		default:
			reject(p, p.key, "[hunter2]")
			reject(p, p.key, "{a: hunter2}")
			reject(p, p.key, "")
			reject(p, p.key, "&hunter2 x")
			for _, wrong := range wrongValues(typ) {
				reject(p, p.key, wrong)
			}
		}
	}
	walk = func(p place, typ reflect.Type) {
		keys, types := keysOf(typ)
		for i, key := range keys {
			above := p
			if entries[p.key] != nil {
				above = p.inEntry(key)
			}
			at := above.inKey(key)
			if line := besides[at.key]; line != "" {
				at.file = append(at.file[:len(at.file):len(at.file)], above.indent()+line)
			}
			value(at, types[i])
			if i == 0 {
				if entries[p.key] != nil {
					above = p.inEntry("passwrd")
				}
				wrong := above.inKey("passwrd")
				reject(wrong, wrong.key, "hunter2")
			}
		}
	}
	walk(place{}, reflect.TypeFor[config.Config]())
	assert.Greater(t, checked, 700)
	t.Log(checked, "files")
}

// warning is a line about what does not keep the gateway from starting.
var warning = regexp.MustCompile(`(?m)^\S+: warning: .*\n`)

// unlikely is no value of anything but a text.
const unlikely = `"%no such thing%"`

// anyText reports whether a value of the type may be any text.
func anyText(typ reflect.Type) bool {
	return typ == reflect.TypeFor[string]() || typ == reflect.TypeFor[config.Secret]()
}

// wrongValues are no values of a type, with a secret in them where that must not be
// repeated.
func wrongValues(typ reflect.Type) []string {
	switch typ {
	case reflect.TypeFor[config.DatabaseURL](), reflect.TypeFor[config.RedisURL]():
		return []string{"ftp://user:hunter2@host/", "'postgres://user:hunter2@%zz/'", "'redis://user:hunter2@:%zz'"}
	case reflect.TypeFor[chap.NTHash]():
		return []string{"hunter2"}
	case reflect.TypeFor[int]():
		return []string{unlikely, "-1", "1.5", "1e3", "99999999999999999999"}
	case reflect.TypeFor[time.Duration]():
		return []string{unlikely, "-1s", "5", "99999999999h"}
	case reflect.TypeFor[bool]():
		return []string{unlikely, "yes", "1", "True"}
	case reflect.TypeFor[config.BitRate](), reflect.TypeFor[config.Octets](), reflect.TypeFor[config.Size](), reflect.TypeFor[config.Rate]():
		return []string{unlikely, "-1", "99999999999999999999", "99999999999999999999GiB", "99999999999999999999G"}
	}
	if anyText(typ) {
		return nil
	}
	return []string{unlikely}
}
