package pptp

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/internal/mutate"
)

// TestMutatedMessages decodes what is nearly a message: it is one, or there is an
// error that says what is wrong.
func TestMutatedMessages(t *testing.T) {
	for _, v := range vectors {
		t.Run(v.msg.Type().String(), func(t *testing.T) {
			for name, b := range mutate.Of(v.wire) {
				m, n, err := DecodeMessage(b)
				var framing *FramingError
				var decode *DecodeError
				switch {
				case err == nil:
					require.Equal(t, int(be16(b)), n, name)
					require.LessOrEqual(t, n, len(b), name)
					again, _, err := DecodeMessage(m.Append(nil))
					require.NoError(t, err, name)
					require.Equal(t, m, again, name)
				case errors.As(err, &framing):
					require.Error(t, checkHeader(b), name)
					require.Contains(t, []error{ErrLength, ErrPPTPMessageType, ErrCookie}, framing.Err, name)
				case errors.As(err, &decode):
					require.Contains(t, []error{ErrShort, ErrLength, ErrMessageType}, decode.Err, name)
					require.NotEmpty(t, decode.Field, name)
				default:
					require.Fail(t, "no typed error", "%s: %v", name, err)
				}
				// A type of its own decodes no other.
				other := newMessage(v.msg.Type())
				if n, err := other.Decode(b); err == nil {
					require.Equal(t, int(be16(b)), n, name)
				}
			}
		})
	}
}

// TestMutatedStream gives a control connection with two calls, at either end, what
// is nearly a message. It goes on, and has either heeded or counted it, or it has
// ended for a reason with a type.
func TestMutatedStream(t *testing.T) {
	for _, v := range vectors {
		t.Run(v.msg.Type().String(), func(t *testing.T) {
			for name, b := range mutate.Of(v.wire) {
				p := called(t)
				p.call(0x0102, 0x0102) // what the vectors speak of
				for _, e := range []*end{p.pns, p.pac} {
					before := e.Counters()
					e.input(b, p.now)
					e.messages(t) // what it has sent is well-formed
					after := e.Counters()
					var framing *FramingError
					var decode *DecodeError
					var protocol *ProtocolError
					switch {
					case e.err == nil:
						require.True(t, after.Received > before.Received || e.framer.Buffered() > 0 || len(b) == 0, name)
						require.LessOrEqual(t, e.framer.Buffered(), MaxMessageLen, name)
					case errors.As(e.err, &framing), errors.As(e.err, &decode), errors.As(e.err, &protocol), errors.Is(e.err, ErrStopped):
						require.Equal(t, Closed, e.State(), name)
						require.Zero(t, e.Calls(), name)
					default:
						require.Fail(t, "no typed error", "%s: %v", name, e.err)
					}
				}
			}
		})
	}
}

// TestMutatedStart does so before the control connection is established.
func TestMutatedStart(t *testing.T) {
	for _, v := range vectors[:2] {
		for name, b := range mutate.Of(v.wire) {
			for _, originator := range []bool{false, true} {
				e := &end{Control: NewControl(Config{Originator: originator})}
				e.Start(epoch, &e.out)
				e.collect()
				e.input(bytes.Clone(b), epoch)
				e.messages(t)
				switch {
				case e.err != nil:
					require.Equal(t, Closed, e.State(), name)
				case e.State() != Established && e.State() != Closed:
					// It ends by itself, whatever it waits for.
					at := e.Deadline()
					require.False(t, at.IsZero(), name)
					e.tick(at)
					require.Equal(t, Closed, e.State(), name)
				}
			}
		}
	}
}
