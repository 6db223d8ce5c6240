package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestGenerated: what is checked in is what the generator writes.
func TestGenerated(t *testing.T) {
	got, err := os.ReadFile("../../lanes_amd64.s")
	require.NoError(t, err)
	require.Equal(t, string(source()), string(got), "run go generate in mppe")
}
