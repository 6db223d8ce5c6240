package gopptp

import (
	"time"

	"github.com/gopptp/gopptp/internal/loop"
	"github.com/gopptp/gopptp/ppp"
)

// worker is an event loop with the memory that its sessions share. Every
// session, and the control connection it came by, belongs to one worker.
type worker struct {
	loop    *loop.Loop
	outputs []*ppp.Output // spare; only the loop touches them
	index   int           // among those of a server
}

// newWorker returns one whose sessions are of a data plane; nil: of any.
func newWorker(plane Dataplane) *worker {
	if n, ok := plane.(Nudged); ok {
		return &worker{loop: loop.NewYielding(n.Nudge)}
	}
	return &worker{loop: loop.New()}
}

// withOutput lends f an Output. Calls nest when carrying out one session's
// actions ends another.
func (w *worker) withOutput(f func(out *ppp.Output)) {
	var out *ppp.Output
	if n := len(w.outputs); n > 0 {
		out, w.outputs = w.outputs[n-1], w.outputs[:n-1]
	} else {
		out = new(ppp.Output)
	}
	f(out)
	out.Reset()
	w.outputs = append(w.outputs, out)
}

// post runs f on the loop.
func (w *worker) post(f func(now time.Time)) bool {
	return w.loop.Post(func() { f(time.Now()) })
}
