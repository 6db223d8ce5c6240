package userdb

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/examples/gateway/internal/hours"
	"github.com/gopptp/gopptp/ppp"
)

// Value is one that a column and a flag of the command line can have. The empty text is
// NULL: not set.
type Value interface {
	String() string
	Set(text string) error
	Type() string
	sql.Scanner
	driver.Valuer
}

// Text is one that may be NULL.
type Text struct{ sql.Null[string] }

// String is the text.
func (t *Text) String() string { return t.V }

// Set takes any text without control characters.
func (t *Text) Set(text string) error {
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return errors.New("has control characters in it")
	}
	t.V, t.Valid = text, text != ""
	return nil
}

// Type implements Value.
func (*Text) Type() string { return "TEXT" }

// Hours are times of the week.
type Hours struct{ Text }

// Set reads times with semicolons between.
func (h *Hours) Set(text string) error {
	if _, err := windows(text); err != nil {
		return err
	}
	return h.Text.Set(text)
}

// Scan implements sql.Scanner.
func (h *Hours) Scan(v any) error { return scanText(v, h.Set) }

// Windows are the times; nil is any time.
func (h *Hours) Windows() []hours.Window {
	list, _ := windows(h.V) // which Set has looked at
	return list
}

func windows(text string) (list []hours.Window, err error) {
	if text == "" || text == none {
		return nil, nil
	}
	for part := range strings.SplitSeq(text, ";") {
		w, err := hours.Parse(part)
		if err != nil {
			return nil, err
		}
		list = append(list, w)
	}
	return list, nil
}

// Type implements Value.
func (*Hours) Type() string { return "TIMES" }

// number is an integer that may be NULL and is not negative.
type number struct{ sql.Null[int64] }

// Or returns the number, or what counts where it is not set.
func (n number) Or(unset int64) int64 {
	if n.Valid {
		return n.V
	}
	return unset
}

// Scan implements sql.Scanner.
func (n *number) Scan(v any) error {
	if err := n.Null.Scan(v); err != nil {
		return err
	}
	if n.V < 0 {
		return fmt.Errorf("userdb: %d is negative", n.V)
	}
	return nil
}

func (n *number) put(v int64) { n.V, n.Valid = v, true }

// Count is how many there may be of something.
type Count struct{ number }

// String is the number.
func (c *Count) String() string {
	if !c.Valid {
		return ""
	}
	return strconv.FormatInt(c.V, 10)
}

// Set reads a number.
func (c *Count) Set(text string) error {
	if text == "" {
		*c = Count{}
		return nil
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return fmt.Errorf("%q is not a number, like 3", text)
	}
	c.put(int64(n))
	return nil
}

// Type implements Value.
func (*Count) Type() string { return "N" }

// Octets is an amount of data.
type Octets struct{ number }

// String is the amount with its unit.
func (o *Octets) String() string { return withUnit(o.number, octets) }

// Set reads an amount with its unit.
func (o *Octets) Set(text string) error {
	return setUnit(&o.number, text, octets, "an amount of data, like 500MiB or 20GiB")
}

// Type implements Value.
func (*Octets) Type() string { return "OCTETS" }

// BitRate is in bits per second.
type BitRate struct{ number }

// String is the rate with its unit.
func (r *BitRate) String() string { return withUnit(r.number, bits) }

// Set reads a rate with its unit.
func (r *BitRate) Set(text string) error {
	return setUnit(&r.number, text, bits, "a rate in bits per second, like 512k, 10M or 1G")
}

// Type implements Value.
func (*BitRate) Type() string { return "RATE" }

type unit struct {
	name string
	size int64
}

// The units, the largest first.
var (
	octets = []unit{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}
	bits   = []unit{{"G", 1e9}, {"M", 1e6}, {"k", 1e3}}
)

func withUnit(n number, units []unit) string {
	if !n.Valid {
		return ""
	}
	for _, u := range units {
		if n.V != 0 && n.V%u.size == 0 {
			return strconv.FormatInt(n.V/u.size, 10) + u.name
		}
	}
	return strconv.FormatInt(n.V, 10)
}

func setUnit(n *number, text string, units []unit, what string) error {
	if text == "" {
		*n = number{}
		return nil
	}
	digits, size := text, int64(1)
	for _, u := range units {
		if d, found := strings.CutSuffix(text, u.name); found {
			digits, size = d, u.size
			break
		}
	}
	v, err := strconv.ParseUint(digits, 10, 63)
	switch {
	case errors.Is(err, strconv.ErrRange), err == nil && int64(v) > math.MaxInt64/size:
		return fmt.Errorf("%s is too much", text)
	case err != nil:
		return fmt.Errorf("%q is not %s", text, what)
	}
	n.put(int64(v) * size)
	return nil
}

// Seconds is a time span.
type Seconds struct{ number }

// Duration is the time span; zero if it is not set. What is longer than it can be, as when
// somebody has written a very large number for none at all, is as long as it can be.
func (s Seconds) Duration() time.Duration {
	return time.Duration(min(s.V, math.MaxInt64/int64(time.Second))) * time.Second
}

// String is the time span with its units.
func (s *Seconds) String() string {
	if !s.Valid {
		return ""
	}
	return s.Duration().String()
}

// Set reads a time span with its units.
func (s *Seconds) Set(text string) error {
	if text == "" {
		*s = Seconds{}
		return nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d%time.Second != 0 {
		return fmt.Errorf("%q is not a time span of whole seconds, like 30s, 15m or 8h", text)
	}
	s.put(int64(d / time.Second))
	return nil
}

// Type implements Value.
func (*Seconds) Type() string { return "DURATION" }

// Time is a point in time.
type Time struct{ number }

// At returns a Time.
func At(t time.Time) (v Time) {
	v.put(t.Unix())
	return v
}

// Time is it as one; the zero Time if it is not set.
func (t Time) Time() time.Time {
	if !t.Valid {
		return time.Time{}
	}
	return time.Unix(t.V, 0)
}

// Past reports whether it is set and not after now.
func (t Time) Past(now time.Time) bool { return t.Valid && t.V <= now.Unix() }

// String is the time where the process is.
func (t *Time) String() string {
	if !t.Valid {
		return ""
	}
	return t.Time().Format(time.RFC3339)
}

// Set reads a date, at whose beginning it is, a date and time, or a time span from now on.
func (t *Time) Set(text string) error {
	if text == "" {
		*t = Time{}
		return nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		*t = At(time.Now().Add(d))
		return nil
	}
	for _, layout := range []string{time.DateOnly, "2006-01-02T15:04", time.RFC3339} {
		if at, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			*t = At(at)
			return nil
		}
	}
	return fmt.Errorf("%q is not a time, like 2027-01-31, 2027-01-31T18:00 or 720h from now", text)
}

// Type implements Value.
func (*Time) Type() string { return "TIME" }

// Networks is a list of networks; nil is not set, and none is empty.
type Networks []netip.Prefix

const none = "none"

// String is the networks with spaces between.
func (n *Networks) String() string {
	switch {
	case *n == nil:
		return ""
	case len(*n) == 0:
		return none
	}
	texts := make([]string, len(*n))
	for i, p := range *n {
		texts[i] = p.String()
	}
	return strings.Join(texts, " ")
}

// Set reads networks and addresses with spaces or commas between.
func (n *Networks) Set(text string) error {
	list := Networks{}
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' }) {
		if word == none {
			continue
		}
		p, err := netip.ParsePrefix(word)
		if addr, bad := netip.ParseAddr(word); bad == nil && addr.Zone() == "" {
			p, err = addr.Prefix(addr.BitLen())
		}
		switch {
		case err != nil:
			return fmt.Errorf("%q is not a network, like 192.168.7.0/24", word)
		case p != p.Masked():
			return fmt.Errorf("%q has bits set behind its prefix: did you mean %v?", word, p.Masked())
		}
		list = append(list, p)
	}
	if text == "" {
		list = nil
	}
	*n = list
	return nil
}

// Type implements Value.
func (*Networks) Type() string { return "NETWORKS" }

// Scan implements sql.Scanner.
func (n *Networks) Scan(v any) error { return scanText(v, n.Set) }

// Value implements driver.Valuer.
func (n *Networks) Value() (driver.Value, error) { return textOrNull(n.String()) }

// Address is one of IPv4; the zero value is not set.
type Address struct{ netip.Addr }

// String is the address.
func (a *Address) String() string {
	if !a.IsValid() {
		return ""
	}
	return a.Addr.String()
}

// Set reads an address.
func (a *Address) Set(text string) error {
	if text == "" {
		*a = Address{}
		return nil
	}
	addr, err := netip.ParseAddr(text)
	if err != nil || !addr.Is4() || !addr.IsGlobalUnicast() {
		return fmt.Errorf("%q is not the IPv4 address of a host", text)
	}
	a.Addr = addr
	return nil
}

// Type implements Value.
func (*Address) Type() string { return "ADDRESS" }

// Scan implements sql.Scanner.
func (a *Address) Scan(v any) error { return scanText(v, a.Set) }

// Value implements driver.Valuer.
func (a *Address) Value() (driver.Value, error) { return textOrNull(a.String()) }

// flag is a truth value: SQLite has it as a number.
type flag bool

func (f *flag) Scan(v any) error {
	switch v := v.(type) {
	case bool:
		*f = flag(v)
	case int64:
		*f = v != 0
	default:
		return fmt.Errorf("userdb: a %T in place of a truth value", v)
	}
	return nil
}

func (f *flag) Value() (driver.Value, error) { return bool(*f), nil }

// hash is an NT hash in hexadecimal; zero is NULL.
type hash chap.NTHash

func (h *hash) Scan(v any) error {
	return scanText(v, func(text string) (err error) {
		if *h = (hash{}); text == "" {
			return nil
		}
		var parsed chap.NTHash
		if parsed, err = chap.ParseNTHash(text); err == nil {
			*h = hash(parsed)
			return nil
		}
		return errors.New("an NT hash has 32 hexadecimal digits") // and must not be repeated
	})
}

func (h *hash) Value() (driver.Value, error) {
	if *h == (hash{}) {
		return nil, nil
	}
	return fmt.Sprintf("%x", h[:]), nil
}

// secret is a password; nil is NULL.
type secret ppp.Secret

func (s *secret) Scan(v any) error {
	return scanText(v, func(text string) error {
		if *s = nil; text != "" {
			*s = secret(text)
		}
		return nil
	})
}

func (s *secret) Value() (driver.Value, error) { return textOrNull(string(*s)) }

func scanText(v any, set func(text string) error) error {
	switch v := v.(type) {
	case nil:
		return set("")
	case string:
		return set(v)
	case []byte:
		return set(string(v))
	}
	return fmt.Errorf("userdb: a %T in place of a text", v)
}

func textOrNull(text string) (driver.Value, error) {
	if text == "" {
		return nil, nil
	}
	return text, nil
}
