package policy

import "github.com/gopptp/gopptp"

// Reason is why a user was refused.
type Reason uint8

// The reasons.
const (
	none            Reason = iota
	BadSource              // from a network that is not allowed
	BadHours               // at an hour that is not
	TooManyOfUser          // the user has as many sessions as it may
	TooManyOfSource        // the source address has
	AddressTaken           // the user's fixed address is another's at the time
	reasons
)

// What a user is told. 646 is "restricted log-on hours", 649 "no dial-in permission": at
// any other code clients ask for the password again.
var refusals = [reasons]struct {
	name, message string
	code          int
}{
	BadSource:       {"source", "You may not log in from here", 649},
	BadHours:        {"hours", "You may not log in at this hour", 646},
	TooManyOfUser:   {"user-sessions", "You are logged in already", 649},
	TooManyOfSource: {"source-sessions", "There are too many sessions from your address", 649},
	AddressTaken:    {"address", "Your address is in use", 649},
}

// String is the reason in one word.
func (r Reason) String() string { return refusals[r].name }

func (p *Policy) refuse(r Reason) error {
	p.refused[r].Add(1)
	return &gopptp.AuthError{Code: refusals[r].code, Message: refusals[r].message}
}

// Stats are the policy's figures.
type Stats struct {
	// Places is how many sessions there are of users who were admitted, those that are
	// not up yet included.
	Places int
	// Refused has all reasons, in words.
	Refused map[string]uint64
	// Replaced is how many sessions ended for another of the same user.
	Replaced uint64
}

// Stats returns the figures so far.
func (p *Policy) Stats() Stats {
	s := Stats{Refused: make(map[string]uint64)}
	for r := none + 1; r < reasons; r++ {
		s.Refused[r.String()] = p.refused[r].Load()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s.Places, s.Replaced = len(p.places.bySession), p.places.replaced
	return s
}
