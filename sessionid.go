package gopptp

import (
	"crypto/rand"
	"encoding/hex"
)

// SessionID names a session in logs, traces and accounting. It is unique in
// practice: 64 random bits in hexadecimal.
type SessionID string

func newSessionID() SessionID {
	var b [8]byte
	rand.Read(b[:])
	return SessionID(hex.EncodeToString(b[:]))
}
