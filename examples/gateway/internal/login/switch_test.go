package login

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
)

// rounds is an Authenticator of two rounds that answers as who it is.
func rounds(name string) gopptp.Authenticator {
	return gopptp.AuthenticatorFunc(func(_ context.Context, req *gopptp.AuthRequest) (*gopptp.AuthResult, error) {
		if req.State == nil {
			return &gopptp.AuthResult{Continue: true, State: "begun by " + name}, nil
		}
		return &gopptp.AuthResult{Message: req.State.(string) + ", ended by " + name}, nil
	})
}

func TestSwitch(t *testing.T) {
	first := func(s *Switch) *gopptp.AuthRequest {
		result, err := s.Authenticate(t.Context(), pap("alice", "x"))
		require.NoError(t, err)
		require.True(t, result.Continue)
		req := pap("alice", "x")
		req.State = result.State
		return req
	}
	s := NewSwitch(rounds("one"))
	begun := first(s)
	result, err := s.Authenticate(t.Context(), begun)
	require.NoError(t, err)
	assert.Equal(t, "begun by one, ended by one", result.Message)

	// What the new one has in common with the old one, attempts go on with.
	begun = first(s)
	s.Set(rounds("two"), nil)
	result, err = s.Authenticate(t.Context(), begun)
	require.NoError(t, err)
	assert.Equal(t, "begun by one, ended by two", result.Message)

	// What has been closed, they cannot; it is no refusal.
	begun = first(s)
	closed := 0
	s.Set(rounds("three"), func() { closed++ })
	assert.Equal(t, 1, closed)
	_, err = s.Authenticate(t.Context(), begun)
	require.ErrorIs(t, err, errChanged)
	assert.False(t, refused(err))
	result, err = s.Authenticate(t.Context(), first(s))
	require.NoError(t, err)
	assert.Equal(t, "begun by three, ended by three", result.Message)
}

// The last one closes when whoever it was asking about has its answer.
func TestSwitchWaits(t *testing.T) {
	entered, answer, closed := make(chan struct{}), make(chan struct{}), make(chan struct{})
	s := NewSwitch(gopptp.AuthenticatorFunc(func(context.Context, *gopptp.AuthRequest) (*gopptp.AuthResult, error) {
		close(entered)
		<-answer
		select {
		case <-closed:
			return nil, errChanged
		default:
			return &gopptp.AuthResult{User: "slow"}, nil
		}
	}))
	done := make(chan *gopptp.AuthResult)
	go func() {
		result, _ := s.Authenticate(context.Background(), pap("alice", "x"))
		done <- result
	}()
	<-entered
	s.Set(rounds("two"), func() { close(closed) })
	result, err := s.Authenticate(t.Context(), pap("bob", "x"))
	require.NoError(t, err)
	assert.True(t, result.Continue, "others need not wait")
	close(answer)
	require.NotNil(t, <-done)
	<-closed
}
