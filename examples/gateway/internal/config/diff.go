package config

import (
	"fmt"
	"reflect"
	"strings"
	"time"
)

// Change is a key that two configurations have different values for.
type Change struct {
	Key      string
	From, To string // secrets are [redacted]
}

// What has no value of its own.
const (
	absent = "none"
	there  = "there"
)

// String is the change in one line.
func (c Change) String() string {
	switch {
	case c.From == absent && c.To == there:
		return c.Key + ": added"
	case c.From == there && c.To == absent:
		return c.Key + ": removed"
	case c.From == c.To: // what differs is not to be shown
		return c.Key + ": " + c.To + ", changed"
	}
	return c.Key + ": " + c.From + ", now " + c.To
}

// Diff returns what differs between two configurations without problems, in the order of
// their keys. An entry of a list goes by its name, and not by its place. What is in files
// of their own counts as if it were here, but for the secrets file, whose name counts.
func Diff(from, to *Config) []Change {
	a, b := *from, *to
	a.Pools, b.Pools = from.NamedPools(), to.NamedPools()
	var d differ
	d.structs("", reflect.ValueOf(&a).Elem(), reflect.ValueOf(&b).Elem())
	return d.changes
}

type differ struct{ changes []Change }

func (d *differ) add(key, from, to string) { d.changes = append(d.changes, Change{key, from, to}) }

// structs compares by the keys that a struct has.
func (d *differ) structs(path string, a, b reflect.Value) {
	fields, names := fieldsOf(a.Type())
	for _, name := range names {
		d.values(strings.TrimPrefix(path+"."+name, "."), a.FieldByIndex(fields[name]), b.FieldByIndex(fields[name]))
	}
}

func (d *differ) values(path string, a, b reflect.Value) {
	t := a.Type()
	switch _, scalar := scalars[t]; {
	case scalar && !hasKeys(t):
		d.scalars(path, a, b)
	case t.Kind() == reflect.Pointer && (a.IsNil() || b.IsNil()):
		if a.IsNil() != b.IsNil() {
			d.add(path, presence(a), presence(b))
		}
	case t == reflect.TypeFor[*ClientTLS]():
		before := len(d.changes)
		d.values(path, a.Elem(), b.Elem())
		if len(d.changes) == before && a.Interface().(*ClientTLS).files != b.Interface().(*ClientTLS).files {
			d.add(path, "its files", "its files")
		}
	case t.Kind() == reflect.Pointer:
		d.values(path, a.Elem(), b.Elem())
	case t.Kind() == reflect.Slice && hasKeys(t.Elem()):
		d.lists(path, a, b)
	case t.Kind() == reflect.Slice:
		if !same(a, b) {
			d.add(path, textOf(a), textOf(b))
		}
	default:
		d.structs(path, a, b)
	}
}

func presence(p reflect.Value) string {
	if p.IsNil() {
		return absent
	}
	return there
}

func (d *differ) scalars(path string, a, b reflect.Value) {
	if !same(a, b) {
		d.add(path, textOf(a), textOf(b))
	}
}

// same compares what is no list of keys.
func same(a, b reflect.Value) bool {
	if a.Type() == reflect.TypeFor[*time.Location]() {
		return textOf(a) == textOf(b)
	}
	if a.Kind() == reflect.Slice && a.Len() == 0 && b.Len() == 0 {
		return true
	}
	return reflect.DeepEqual(a.Interface(), b.Interface())
}

// textOf is a value for who reads the log.
func textOf(v reflect.Value) string {
	if v.Kind() == reflect.Slice {
		texts := make([]string, v.Len())
		for i := range texts {
			texts[i] = textOf(v.Index(i))
		}
		return "[" + strings.Join(texts, ", ") + "]"
	}
	if v.Kind() == reflect.String && v.Len() == 0 {
		return `""`
	}
	if a, ok := v.Interface().(interface{ IsValid() bool }); ok && !a.IsValid() {
		return absent // an address
	}
	if text := fmt.Sprint(v.Interface()); text != "" {
		return text
	}
	return `""`
}

// lists compares entries with the same name.
func (d *differ) lists(path string, a, b reflect.Value) {
	old, names := byNames(a)
	now, after := byNames(b)
	kept, order := make([]string, 0, len(names)), make([]string, 0, len(after))
	for _, name := range names {
		at := path + "[" + name + "]"
		if other, still := now[name]; still {
			kept = append(kept, name)
			d.values(at, old[name], other)
		} else {
			d.add(at, there, absent)
		}
	}
	for _, name := range after {
		if _, before := old[name]; before {
			order = append(order, name)
		} else {
			d.add(path+"["+name+"]", absent, there)
		}
	}
	// The first pool is that of those for whom none is named.
	if was, is := strings.Join(kept, ", "), strings.Join(order, ", "); path == "pools" && was != is {
		d.add(path, "in the order "+was, is)
	}
}

// byNames are the entries of a list by what they are known by, and these names in order.
func byNames(list reflect.Value) (map[string]reflect.Value, []string) {
	byName, names := make(map[string]reflect.Value), make([]string, 0, list.Len())
	fields, _ := fieldsOf(list.Type().Elem())
	for i := range list.Len() {
		name := fmt.Sprint(i)
		for _, key := range []string{"name", "address", "source"} {
			if field, ok := fields[key]; ok {
				name = textOf(list.Index(i).FieldByIndex(field))
				break
			}
		}
		if _, twice := byName[name]; twice { // is one of its own
			name = fmt.Sprintf("%s, %d", name, i)
		}
		byName[name] = list.Index(i)
		names = append(names, name)
	}
	return byName, names
}
