package dataplane

import "fmt"

// Mode says which plane moves packets.
type Mode uint8

// The modes.
const (
	// Auto is the kernel where it can do all that is needed, and else userspace.
	Auto Mode = iota
	// Kernel is the kernel, or an error. Calls move to userspace only if the kernel
	// cannot carry them at all.
	Kernel
	// Userspace is package userspace alone.
	Userspace
)

var modeNames = [...]string{"auto", "kernel", "userspace"}

func (m Mode) String() string {
	if int(m) < len(modeNames) {
		return modeNames[m]
	}
	return fmt.Sprintf("data plane mode %d", uint8(m))
}

// MarshalText implements encoding.TextMarshaler.
func (m Mode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler: auto, kernel or userspace.
func (m *Mode) UnmarshalText(text []byte) error {
	for i, name := range modeNames {
		if name == string(text) {
			*m = Mode(i)
			return nil
		}
	}
	return fmt.Errorf("dataplane: mode %q is not one of auto, kernel, userspace", text)
}
