package cli

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/examples/loadgen/internal/target"
)

// ownNetwork reports whether the test runs in the host's own network namespace.
func ownNetwork(t *testing.T) bool {
	private, err := target.Private()
	if err != nil {
		t.Log(err)
		return true // it is not known, which is as good
	}
	require.NoError(t, err)
	return !private
}
