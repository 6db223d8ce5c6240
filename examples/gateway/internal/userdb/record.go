package userdb

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// MarshalJSON is the record for a shared cache, with the hash and all: a row as the
// database has it. It is null for no user.
func (r Record) MarshalJSON() ([]byte, error) {
	wire := wireRecord{Seq: r.Seq}
	if r.User != nil {
		wire.Row = make(map[string]any)
		for _, f := range r.User.fields() {
			v, err := f.value.Value()
			if err != nil {
				return nil, err
			}
			if v != nil {
				wire.Row[f.column] = v
			}
		}
	}
	return json.Marshal(wire)
}

// UnmarshalJSON reads what MarshalJSON wrote. Columns that it does not know are another
// gateway's, which is newer.
func (r *Record) UnmarshalJSON(b []byte) error {
	*r = Record{}
	var wire wireRecord
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber() // all of 64 bits
	if err := d.Decode(&wire); err != nil {
		return err
	}
	r.Seq = wire.Seq
	if wire.Row == nil {
		return nil
	}
	u := new(User)
	for _, f := range u.fields() {
		v := wire.Row[f.column]
		if n, ok := v.(json.Number); ok {
			i, err := n.Int64()
			if err != nil {
				return fmt.Errorf("userdb: %s: %w", f.column, err)
			}
			v = i
		}
		if v == nil && f.column == "disabled" {
			return fmt.Errorf("userdb: %s is missing", f.column) // better than to take it for false
		}
		if err := f.value.Scan(v); err != nil {
			return fmt.Errorf("userdb: %s: %w", f.column, err)
		}
	}
	if u.Name == "" {
		return fmt.Errorf("userdb: name is missing")
	}
	r.User = u
	return nil
}

type wireRecord struct {
	Seq int64          `json:"seq"`
	Row map[string]any `json:"row"`
}
