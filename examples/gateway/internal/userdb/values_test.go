package userdb

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestValues(t *testing.T) {
	for _, test := range []struct {
		value      Value
		text, want string // want: what comes out; empty: text itself
	}{
		{new(Text), "a b", ""},
		{new(Count), "0", ""},
		{new(Count), "17", ""},
		{new(Octets), "0", ""},
		{new(Octets), "1000", ""},
		{new(Octets), "2048KiB", "2MiB"},
		{new(Octets), "20GiB", ""},
		{new(BitRate), "512k", ""},
		{new(BitRate), "1500000", "1500k"},
		{new(BitRate), "1G", ""},
		{new(Seconds), "90s", "1m30s"},
		{new(Seconds), "0", "0s"},
		{new(Networks), "192.0.2.7,10.0.0.0/8", "192.0.2.7/32 10.0.0.0/8"},
		{new(Networks), "2001:db8::/32", ""},
		{new(Networks), "none", ""},
		{new(Hours), "Mon-Fri 08:00-18:00; Sat,Sun", ""},
		{new(Hours), "none", ""},
		{new(Address), "10.8.0.20", ""},
		{new(Time), "2027-01-31T18:00:00Z", time.Date(2027, 1, 31, 18, 0, 0, 0, time.UTC).Local().Format(time.RFC3339)},
		{new(Time), "2027-01-31", time.Date(2027, 1, 31, 0, 0, 0, 0, time.Local).Format(time.RFC3339)},
	} {
		require.NoError(t, test.value.Set(test.text), test.text)
		if test.want == "" {
			test.want = test.text
		}
		assert.Equal(t, test.want, test.value.String())
		column, err := test.value.Value()
		require.NoError(t, err)
		require.NotNil(t, column)

		require.NoError(t, test.value.Set(""), "%T", test.value)
		assert.Empty(t, test.value.String())
		unset, err := test.value.Value()
		assert.NoError(t, err)
		assert.Nil(t, unset)
		require.NoError(t, test.value.Scan(column))
		assert.Equal(t, test.want, test.value.String(), "by way of a column")
		assert.NotEmpty(t, test.value.Type())
	}
}

func TestBadValues(t *testing.T) {
	for _, test := range []struct {
		value      Value
		text, want string
	}{
		{new(Text), "a\nb", "has control characters in it"},
		{new(Count), "-1", `"-1" is not a number, like 3`},
		{new(Count), "many", `"many" is not a number, like 3`},
		{new(Octets), "5GB", `"5GB" is not an amount of data, like 500MiB or 20GiB`},
		{new(Octets), "9999999999TiB", "9999999999TiB is too much"},
		{new(Octets), "99999999999999999999", "99999999999999999999 is too much"},
		{new(BitRate), "10m", `"10m" is not a rate in bits per second, like 512k, 10M or 1G`},
		{new(Seconds), "10", `"10" is not a time span of whole seconds, like 30s, 15m or 8h`},
		{new(Seconds), "1500ms", `"1500ms" is not a time span of whole seconds, like 30s, 15m or 8h`},
		{new(Seconds), "-1s", `"-1s" is not a time span of whole seconds, like 30s, 15m or 8h`},
		{new(Networks), "10.0.0.1/8", `"10.0.0.1/8" has bits set behind its prefix: did you mean 10.0.0.0/8?`},
		{new(Networks), "fe80::1%eth0", `"fe80::1%eth0" is not a network, like 192.168.7.0/24`},
		{new(Hours), "Mon-Fri; noon", `" noon" is not a time of the week, like Mon-Fri 08:00-18:00, Sat,Sun or 22:00-06:00`},
		{new(Address), "::1", `"::1" is not the IPv4 address of a host`},
		{new(Address), "255.255.255.255", `"255.255.255.255" is not the IPv4 address of a host`},
		{new(Time), "tomorrow", `"tomorrow" is not a time, like 2027-01-31, 2027-01-31T18:00 or 720h from now`},
	} {
		assert.EqualError(t, test.value.Set(test.text), test.want)
		assert.Empty(t, test.value.String(), test.text)
	}
}

func TestTimeFromNow(t *testing.T) {
	var v Time
	before := time.Now().Unix()
	require.NoError(t, v.Set("720h"))
	assert.GreaterOrEqual(t, v.V, before+720*3600)
	assert.LessOrEqual(t, v.V, time.Now().Unix()+720*3600)
}

// What is in a database may be anything; of a hash, no error repeats it.
func TestScanHash(t *testing.T) {
	var h hash
	err := h.Scan("0123456789abcdef0123456789abcdeg")
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "abcdef")
	assert.Error(t, h.Scan(7))
	var f flag
	assert.Error(t, f.Scan("x"))
	assert.NoError(t, f.Scan(int64(1)))
	assert.True(t, bool(f))
}

// What a shared cache says may be anything. This is no fuzz test only because that would
// compile SQLite for it.
func TestRecord(t *testing.T) {
	u := &User{Name: "alice", NTHash: [16]byte{1, 2, 3}, Disabled: true, ExpiresAt: At(time.Unix(1, 0))}
	require.NoError(t, u.Routes.Set("192.168.7.0/24 2001:db8::/32"))
	require.NoError(t, u.Quota.Set("20GiB"))
	for _, r := range []Record{{}, {Seq: 7}, {Seq: 1<<63 - 1, User: u}} {
		text, err := r.MarshalJSON()
		require.NoError(t, err)
		var again Record
		require.NoError(t, again.UnmarshalJSON(text))
		assert.Equal(t, r, again)

		// An octet that is another one, anywhere, makes another record or none.
		for i := range text {
			for _, c := range []byte("\x00\"{}[],:-1.e\xff") {
				changed := bytes.Clone(text)
				changed[i] = c
				if again.UnmarshalJSON(changed) != nil {
					continue
				}
				out, err := again.MarshalJSON()
				require.NoError(t, err, "%s", changed)
				var third Record
				require.NoError(t, third.UnmarshalJSON(out), "%s", changed)
				assert.Equal(t, again, third)
			}
		}
	}
	for _, text := range []string{
		"", "{", "[]", `{"row":{}}`, `{"row":{"name":"a"}}`, `{"row":{"name":"a","disabled":1e9}}`, `{"row":{"disabled":false}}`,
		`{"row":{"name":"a","disabled":false,"quota":"x"}}`, `{"row":{"name":"a","disabled":false,"quota":-1}}`,
		`{"row":{"name":"a","disabled":false,"routes":7}}`, `{"row":{"name":7,"disabled":false}}`, `{"row":{"name":"a","disabled":false,"nt_hash":"00"}}`,
	} {
		assert.Error(t, new(Record).UnmarshalJSON([]byte(text)), text)
	}
}
