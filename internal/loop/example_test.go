package loop_test

import (
	"fmt"
	"time"

	"github.com/gopptp/gopptp/internal/loop"
)

// What is posted runs in order; a timer that is moved fires once, at its last
// deadline.
func Example() {
	l := loop.New()
	l.Post(func() {
		fmt.Println("first")
		timer := l.NewTimer(func(time.Time) {
			fmt.Println("timer")
			l.Close()
		})
		timer.Set(time.Now().Add(time.Hour))
		timer.Set(time.Now().Add(time.Millisecond))
	})
	l.Post(func() { fmt.Println("second") })
	<-l.Done()
	// Output:
	// first
	// second
	// timer
}
