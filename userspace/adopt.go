package userspace

// Adopted is what [Plane.Adopt] has to know of a call.
type Adopted struct {
	// ID is our call ID.
	ID uint16
	// Sequence is the GRE sequence number of the next packet to the peer.
	Sequence uint32
}
