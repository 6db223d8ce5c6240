package radiustest

import (
	"bufio"
	"strconv"
	"strings"
)

// Record is one request, by the names of FreeRADIUS's dictionaries. An attribute that
// has values with names has those: `Acct-Status-Type` is `Stop`.
type Record map[string][]string

// Get is the first value of an attribute; empty if there is none.
func (r Record) Get(name string) string {
	if len(r[name]) == 0 {
		return ""
	}
	return r[name][0]
}

// parseDetail reads what the module detail writes: a line with the time, then an
// attribute a line, indented, then an empty line. What has no empty line is not written
// completely yet.
func parseDetail(lines *bufio.Scanner) (records []Record, err error) {
	lines.Buffer(nil, 1<<20)
	var r Record
	for lines.Scan() {
		line := lines.Text()
		switch {
		case line == "":
			if r != nil {
				records = append(records, r)
			}
			r = nil
		case line[0] != '\t':
			r = make(Record)
		case r != nil:
			name, value, _ := strings.Cut(strings.TrimSpace(line), " = ")
			if text, err := strconv.Unquote(value); err == nil {
				value = text
			}
			r[name] = append(r[name], value)
		}
	}
	return records, lines.Err()
}
