// Package traffic makes traffic and measures what comes of it: TCP by iperf3, UDP
// packets at a rate, and one small packet at a time.
package traffic

import "math"

// Trial is what came of sending at a rate for a while.
type Trial struct {
	Offered   float64 // packets a second, as asked for
	Sent      float64 // as sent
	Delivered float64
	Loss      float64 // of what was sent
}

// MaxLoss is what passes for no loss.
const MaxLoss = 0.001

// shortfall is how far the sender may stay behind what is asked of it.
const shortfall = 0.05

// ok: nothing was lost, and the sender could do it.
func (t Trial) ok() bool { return t.Loss <= MaxLoss && t.Sent >= (1-shortfall)*t.Offered }

// Search finds the highest rate at which nothing is lost, in a number of trials: it
// goes up from start, or down, by factor and then by more, up to twice, until it has
// rates that pass and fail, and then between them. What other work on the machine makes a trial lose is not the
// tunnel's doing: a rate has failed when it has failed twice. The result is the
// best that was delivered without loss, zero if nothing was.
func Search(start, factor float64, trials int, try func(rate float64) (Trial, error)) (best float64, err error) {
	low, high := 0.0, math.Inf(1)
	for rate := start; trials > 0; trials-- {
		t, err := try(rate)
		if err == nil && !t.ok() {
			if t.Loss <= MaxLoss {
				best = max(best, t.Delivered) // as much as the sender could do
			}
			t, err = try(rate)
		}
		if err != nil {
			return 0, err
		}
		if t.Loss <= MaxLoss {
			best = max(best, t.Delivered)
		}
		if t.ok() {
			low = max(low, rate)
		} else {
			high = min(high, rate)
		}
		switch {
		case math.IsInf(high, 1):
			rate = low * factor
			factor = wider(factor)
		case low == 0:
			rate = high / factor
			factor = wider(factor)
		default:
			rate = math.Sqrt(low * high)
		}
	}
	return best, nil
}

func wider(factor float64) float64 { return max(factor, min(math.Pow(factor, 1.5), 2)) }
