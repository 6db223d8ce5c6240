package users

import (
	"bytes"
	"maps"
	"slices"
	"strings"

	"github.com/gopptp/gopptp"
)

// Diff returns what differs between two stores in what they have of the secrets file, a
// line a user. What they have of the configuration is to be compared there.
func Diff(from, to *Store) (changes []string) {
	names := maps.Clone(from.file)
	maps.Copy(names, to.file)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		was, is := from.inFile(name), to.inFile(name)
		what := ""
		switch {
		case was == nil && is == nil:
		case was == nil:
			what = "added"
		case is == nil:
			what = "removed"
		default:
			what = differences(was, is)
		}
		if what != "" {
			changes = append(changes, "secrets_file: "+nameOf(&account{name: name})+": "+what)
		}
	}
	return changes
}

func (s *Store) inFile(name string) *gopptp.LocalUser {
	switch {
	case !s.file[name]:
		return nil
	case name == "":
		return s.anyone
	}
	return s.byName[name]
}

func differences(a, b *gopptp.LocalUser) string {
	var list []string
	if a.NTHash != b.NTHash || !bytes.Equal(a.Secret, b.Secret) {
		list = append(list, "another secret")
	}
	switch {
	case a.Address == b.Address:
	case !b.Address.IsValid():
		list = append(list, "no fixed address")
	default:
		list = append(list, "the address "+b.Address.String())
	}
	return strings.Join(list, " and ")
}
