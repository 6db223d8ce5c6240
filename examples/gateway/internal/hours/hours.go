// Package hours is the times of the week at which users may be in.
package hours

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Window is a time of the day, on some days of the week. One that ends before it begins
// goes on into the next day.
type Window struct {
	days     uint8 // a bit each, from Monday
	from, to int   // minutes; to is above from
}

const (
	day  = 24 * 60
	week = 7 * day
)

var dayNames = [...]string{"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"}

const everyDay = 1<<len(dayNames) - 1

// Parse reads a window: days, times or both, like "Mon-Fri 08:00-18:00", "Sat,Sun" or
// "22:00-06:00".
func Parse(text string) (w Window, err error) {
	bad := fmt.Errorf("%q is not a time of the week, like Mon-Fri 08:00-18:00, Sat,Sun or 22:00-06:00", text)
	w = Window{days: everyDay, to: day}
	fields := strings.Fields(text)
	if len(fields) == 0 || len(fields) > 2 {
		return Window{}, bad
	}
	if last := fields[len(fields)-1]; strings.Contains(last, ":") {
		from, to, _ := strings.Cut(last, "-")
		var ok1, ok2 bool
		w.from, ok1 = minutes(from)
		w.to, ok2 = minutes(to)
		switch {
		case !ok1 || !ok2 || w.from == day:
			return Window{}, bad
		case w.from == w.to:
			return Window{}, fmt.Errorf("%q ends when it begins; a whole day is 00:00-24:00", text)
		case w.to < w.from:
			w.to += day
		}
		fields = fields[:len(fields)-1]
	}
	if len(fields) == 2 {
		return Window{}, bad
	}
	if len(fields) == 1 {
		if w.days = days(fields[0]); w.days == 0 {
			return Window{}, bad
		}
	}
	return w, nil
}

// minutes reads a time of the day, up to 24:00.
func minutes(text string) (n int, ok bool) {
	h, m, _ := strings.Cut(text, ":")
	hour, err1 := strconv.ParseUint(h, 10, 8)
	minute, err2 := strconv.ParseUint(m, 10, 8)
	n = int(hour)*60 + int(minute)
	return n, err1 == nil && err2 == nil && len(m) == 2 && len(h) <= 2 && minute < 60 && n <= day
}

// days reads a list of days, and of ranges of them; zero if it is none.
func days(text string) (set uint8) {
	for _, part := range strings.Split(text, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, to := dayOf(first), dayOf(last)
		if from < 0 || to < 0 {
			return 0
		}
		for d := from; ; d = (d + 1) % len(dayNames) {
			set |= 1 << d
			if d == to {
				break
			}
		}
	}
	return set
}

func dayOf(name string) int {
	for i, n := range dayNames {
		if strings.EqualFold(n, name) {
			return i
		}
	}
	return -1
}

// String is the window as it may be written.
func (w Window) String() string {
	var names []string
	for i, n := range dayNames {
		if w.days>>i&1 != 0 {
			names = append(names, n)
		}
	}
	end := w.to
	if end > day {
		end -= day
	}
	return fmt.Sprintf("%s %02d:%02d-%02d:%02d", strings.Join(names, ","), w.from/60, w.from%60, end/60, end%60)
}

// left is for how many minutes the window goes on at a minute of the week; zero if it is
// not open.
func (w Window) left(at int) (n int) {
	for d := range dayNames {
		if w.days>>d&1 == 0 {
			continue
		}
		begin := d*day + w.from
		if passed := (at - begin + week) % week; passed < w.to-w.from {
			n = max(n, w.to-w.from-passed)
		}
	}
	return n
}

// Until says whether one of the windows is open at a time, and when the last of those
// closes that follow each other without a gap; the zero time if none ever does. The clock
// is that of now's location. Without windows, it is always open.
func Until(windows []Window, now time.Time) (end time.Time, open bool) {
	if len(windows) == 0 {
		return time.Time{}, true
	}
	begin := (int(now.Weekday())+6)%7*day + now.Hour()*60 + now.Minute()
	passed := 0
	for passed < week {
		n := 0
		for _, w := range windows {
			n = max(n, w.left((begin+passed)%week))
		}
		if n == 0 {
			break
		}
		passed += n
	}
	switch {
	case passed == 0:
		return time.Time{}, false
	case passed >= week:
		return time.Time{}, true
	}
	// By the calendar, as a day may have 23 hours or 25.
	return time.Date(now.Year(), now.Month(), now.Day(), now.Hour(), now.Minute()+passed, 0, 0, now.Location()), true
}
