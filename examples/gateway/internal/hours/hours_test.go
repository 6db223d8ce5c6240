package hours

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"Mon-Fri 08:00-18:00":     "Mon,Tue,Wed,Thu,Fri 08:00-18:00",
		"sat,SUN 9:30-24:00":      "Sat,Sun 09:30-24:00",
		"Fri-Mon":                 "Mon,Fri,Sat,Sun 00:00-24:00",
		"22:00-06:00":             "Mon,Tue,Wed,Thu,Fri,Sat,Sun 22:00-06:00",
		"Tue,Thu-Fri 00:00-00:01": "Tue,Thu,Fri 00:00-00:01",
	} {
		w, err := Parse(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, w.String())
		again, err := Parse(w.String())
		require.NoError(t, err)
		assert.Equal(t, w, again)
	}
	for _, text := range []string{
		"", " ", "Mo", "Mon-", "-Fri", "Mon,,Tue", "08:00", "08:00-", "8-18", "08:60-09:00", "24:00-06:00", "24:01-06:00",
		"08:00-25:00", "Mon Tue", "Mon-Fri 08:00-18:00 x", "08:00-18:00 Mon", "-1:00-02:00", "08:0-09:00", "300:00-01:00",
		"Mon-Tue-Wed", "08:00-18:00-20:00",
	} {
		_, err := Parse(text)
		assert.ErrorContains(t, err, "is not a time of the week, like", text)
	}
	_, err := Parse("08:00-08:00")
	assert.EqualError(t, err, `"08:00-08:00" ends when it begins; a whole day is 00:00-24:00`)
}

func TestUntil(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err, "needs tzdata")
	for _, c := range []struct {
		name, now, want string // empty: closed; never: for ever
		windows         []string
	}{
		{"no windows", "2026-11-30 12:00:00", "never", nil},
		{"open", "2026-11-30 12:00:01", "2026-11-30 18:00:00", []string{"Mon-Fri 08:00-18:00"}},
		{"begins", "2026-11-30 08:00:00", "2026-11-30 18:00:00", []string{"Mon-Fri 08:00-18:00"}},
		{"not yet", "2026-11-30 07:59:59", "", []string{"Mon-Fri 08:00-18:00"}},
		{"no longer", "2026-11-30 18:00:00", "", []string{"Mon-Fri 08:00-18:00"}},
		{"another day", "2026-11-29 12:00:00", "", []string{"Mon-Fri 08:00-18:00"}},
		{"over midnight, before", "2026-11-30 23:00:00", "2026-12-01 06:00:00", []string{"Mon 22:00-06:00"}},
		{"over midnight, after", "2026-12-01 05:59:59", "2026-12-01 06:00:00", []string{"Mon 22:00-06:00"}},
		{"over midnight, of another day", "2026-11-30 05:00:00", "", []string{"Mon 22:00-06:00"}},
		{"over the week's end", "2026-11-30 05:00:00", "2026-11-30 06:00:00", []string{"Sun 22:00-06:00"}},
		{"days in a row", "2026-11-27 12:00:00", "2026-11-30 00:00:00", []string{"Fri-Sun"}},
		{"windows in a row", "2026-11-30 09:00:00", "2026-11-30 20:00:00", []string{"12:00-20:00", "08:00-12:00"}},
		{"windows that overlap", "2026-11-30 09:00:00", "2026-11-30 20:00:00", []string{"08:00-12:00", "11:00-20:00", "21:00-22:00"}},
		{"always", "2026-11-30 09:00:00", "never", []string{"00:00-24:00"}},
		{"always, by two", "2026-11-30 09:00:00", "never", []string{"Mon-Thu", "Fri-Sun"}},
		{"clocks go back", "2026-10-25 01:30:00", "2026-10-25 06:00:00", []string{"Sun 00:00-06:00"}},
		{"clocks go forward", "2026-03-29 01:30:00", "2026-03-29 06:00:00", []string{"Sun 00:00-06:00"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var windows []Window
			for _, text := range c.windows {
				w, err := Parse(text)
				require.NoError(t, err)
				windows = append(windows, w)
			}
			now, err := time.ParseInLocation(time.DateTime, c.now, berlin)
			require.NoError(t, err)
			end, open := Until(windows, now)
			got := ""
			switch {
			case open && end.IsZero():
				got = "never"
			case open:
				got = end.Format(time.DateTime)
			}
			assert.Equal(t, c.want, got)
		})
	}
}

// FuzzUntil goes through a week minute by minute.
func FuzzUntil(f *testing.F) {
	f.Add(uint8(0x1f), uint16(480), uint16(1080), uint8(0x40), uint16(1320), uint16(360), uint16(700))
	f.Add(uint8(0x7f), uint16(0), uint16(1440), uint8(0), uint16(0), uint16(1), uint16(0))
	f.Fuzz(func(t *testing.T, d1 uint8, f1, t1 uint16, d2 uint8, f2, t2 uint16, at uint16) {
		window := func(days uint8, from, to uint16) Window {
			w := Window{days & everyDay, int(from) % day, int(to)%day + 1}
			if w.to <= w.from {
				w.to += day
			}
			return w
		}
		windows := []Window{window(d1, f1, t1), window(d2, f2, t2)}
		var open [2 * week]bool
		for _, w := range windows {
			for d := range dayNames {
				for m := w.from; m < w.to && w.days>>d&1 != 0; m++ {
					n := (d*day + m) % week
					open[n], open[n+week] = true, true
				}
			}
		}
		now := time.Date(2026, 11, 30, 0, int(at)%week, 59, 0, time.UTC) // a Monday's midnight
		begin := int(at) % week
		end, ok := Until(windows, now)
		if ok != open[begin] {
			t.Fatalf("%v at %v: open is %v", windows, now, ok)
		}
		n := begin
		for n < begin+week && open[n] {
			n++
		}
		want := time.Date(2026, 11, 30, 0, n, 0, 0, time.UTC)
		if n == begin || n == begin+week {
			want = time.Time{}
		}
		if !end.Equal(want) {
			t.Fatalf("%v at %v: until %v, not %v", windows, now, end, want)
		}
	})
}
