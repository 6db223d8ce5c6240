package conversation

import "time"

// Side is one of the two ends of a control connection.
type Side int

// The sides.
const (
	Client Side = iota
	Server
)

func (s Side) other() Side { return 1 - s }

// Report is what a capture has in it. Times are in seconds after the first
// packet.
type Report struct {
	Packets     int           `json:"packets"`
	Seconds     float64       `json:"seconds"`
	Connections []*Connection `json:"connections"`
	Notes       []string      `json:"notes,omitempty"`
}

// Failed reports whether a connection or call failed, or there is none.
func (r *Report) Failed() bool {
	if len(r.Connections) == 0 {
		return true
	}
	for _, c := range r.Connections {
		if c.Verdict != nil && c.Verdict.Failed {
			return true
		}
		for _, k := range c.Calls {
			if k.Verdict.Failed {
				return true
			}
		}
	}
	return false
}

// Connection is a control connection with its calls, or, with GREOnly, a pair of
// addresses whose control connection is not in the capture.
type Connection struct {
	Number  int  `json:"number"`
	GREOnly bool `json:"gre_only,omitempty"`
	Client  Peer `json:"client"`
	Server  Peer `json:"server"`
	// Timeline is what was said, in order, data and echoes left out.
	Timeline []Line `json:"timeline"`
	// Unlisted is how many lines were too many for the timeline.
	Unlisted int      `json:"unlisted,omitempty"`
	Calls    []*Call  `json:"calls"`
	Notes    []string `json:"notes,omitempty"`
	// Verdict is that of a connection without a call.
	Verdict *Verdict `json:"verdict,omitempty"`
}

// Peer is one end of a connection.
type Peer struct {
	Address string `json:"address"`
	Host    string `json:"host,omitempty"`   // as it says
	Vendor  string `json:"vendor,omitempty"` // as it says
	// TCPRepeats are segments that were sent again.
	TCPRepeats int `json:"tcp_repeats"`
}

// Line is something that was said.
type Line struct {
	At       float64 `json:"at"`
	From     string  `json:"from"`
	Call     int     `json:"call,omitempty"`
	Protocol string  `json:"protocol"`
	Text     string  `json:"text"`
	// Again: the same was said before and had no answer, or none that was
	// heard.
	Again bool `json:"again,omitempty"`
	// Early: it came before its phase.
	Early bool `json:"early,omitempty"`
}

// Call is a call and the PPP link in it.
type Call struct {
	Number       int           `json:"number"`
	ClientCallID *uint16       `json:"client_call_id,omitempty"`
	ServerCallID *uint16       `json:"server_call_id,omitempty"`
	User         string        `json:"user,omitempty"`
	AuthMethod   string        `json:"auth_method,omitempty"`
	Phases       []Phase       `json:"phases"`
	Negotiations []Negotiation `json:"negotiations"`
	GRE          Both[GRE]     `json:"gre"`
	MPPE         Both[*MPPE]   `json:"mppe"`
	// EarlyPackets came before their phase.
	EarlyPackets int      `json:"early_packets"`
	Ends         []string `json:"ends,omitempty"`
	// Decryption says what became of it, where a password was given.
	Decryption string `json:"decryption,omitempty"`
	// Flows are those of the packets in the tunnel, the largest first.
	Flows   []Flow  `json:"flows,omitempty"`
	Verdict Verdict `json:"verdict"`
}

// Both holds the same for what either side sends.
type Both[T any] struct {
	Client T `json:"from_client"`
	Server T `json:"from_server"`
}

func both[T any](f func(Side) T) Both[T] { return Both[T]{Client: f(Client), Server: f(Server)} }

// Phase is a phase that was reached.
type Phase struct {
	Name string  `json:"name"`
	At   float64 `json:"at"`
}

// Negotiation is that of one control protocol.
type Negotiation struct {
	Protocol string `json:"protocol"`
	Opened   bool   `json:"opened"`
	Client   Terms  `json:"client"`
	Server   Terms  `json:"server"`
}

// Terms are how it went with the options that one side asked for.
type Terms struct {
	Requests int      `json:"requests"`
	Repeats  int      `json:"repeats"`            // of these requests, without an answer in between
	Asked    []string `json:"asked,omitempty"`    // all that were ever asked for
	Naked    []string `json:"naked,omitempty"`    // what the other side wants instead
	Rejected []string `json:"rejected,omitempty"` // what the other side will not have
	Agreed   []string `json:"agreed,omitempty"`   // what was agreed on in the end
	Acked    bool     `json:"acked"`
}

// GRE is what one side sent in the data channel, as it came past.
type GRE struct {
	Packets      int     `json:"packets"` // with a payload
	Octets       uint64  `json:"octets"`
	Acks         int     `json:"acks"` // packets that only acknowledge
	Lost         uint64  `json:"lost"` // never came past
	Reordered    uint64  `json:"reordered"`
	Duplicates   uint64  `json:"duplicates"`
	OutOfRange   uint64  `json:"out_of_range"`
	Resyncs      uint64  `json:"resyncs"` // jumps of the numbers
	LastAt       float64 `json:"last_at"`
	EchoRequests int     `json:"echo_requests"` // of LCP
	EchoReplies  int     `json:"echo_replies"`
}

// MPPE is what one side sent encrypted.
type MPPE struct {
	// Agreed is what CCP agreed on for what this side sends.
	Agreed  string `json:"agreed,omitempty"`
	Packets int    `json:"packets"`
	// Gaps is how often the coherency count jumped, and Missing how many
	// packets it jumped over; those that GRE does not explain are Unexplained.
	Gaps        int `json:"gaps"`
	Missing     int `json:"missing"`
	Unexplained int `json:"unexplained"`
	// Clear are packets of the network in clear although MPPE was agreed on.
	Clear int `json:"clear"`
	// ResetRequests are those of CCP that this side sent.
	ResetRequests int `json:"reset_requests"`
	Decrypted     int `json:"decrypted"`
	Undecryptable int `json:"undecryptable"`
	Senseless     int `json:"senseless"` // decrypted to what is no packet
}

// Flow is a flow of packets in the tunnel, both ways together. A is the end that
// was seen first.
type Flow struct {
	Protocol string `json:"protocol"`
	A        string `json:"a"`
	B        string `json:"b"`
	Packets  int    `json:"packets"`
	Octets   uint64 `json:"octets"`
}

// Verdict says how it went.
type Verdict struct {
	// Code names it for programs.
	Code   Code   `json:"code"`
	Failed bool   `json:"failed"`
	Text   string `json:"text"`
	// Hints say what else is amiss, or what to do.
	Hints []string `json:"hints,omitempty"`
}

// Code is a kind of verdict.
type Code string

// The verdicts.
const (
	Up              Code = "up"               // and so at the end of the capture
	Cleared         Code = "cleared"          // was up, and ended as either side wished
	Lost            Code = "lost"             // was up, and ended by a fault
	PeerSilent      Code = "peer-silent"      // was up, and one side fell silent
	Incomplete      Code = "incomplete"       // the capture does not tell
	NoConnection    Code = "no-connection"    // TCP was not answered, or refused
	NotPPTP         Code = "not-pptp"         // the stream has other octets
	ControlRefused  Code = "control-refused"  // by a Start-Control-Connection-Reply
	ControlSilent   Code = "control-silent"   // no answer to a control message
	NoCall          Code = "no-call"          // the connection ended without one
	CallRefused     Code = "call-refused"     //
	GRENone         Code = "gre-none"         // none at all
	GREBlocked      Code = "gre-blocked"      // in one direction
	LCPLoop         Code = "lcp-loop"         // no agreement
	LCPLoopback     Code = "lcp-loopback"     // a side hears itself
	LCPFailed       Code = "lcp-failed"       // for another reason
	AuthFailed      Code = "auth-failed"      //
	AuthUnfinished  Code = "auth-unfinished"  // no answer or no verdict
	AuthRefused     Code = "auth-refused"     // no common method
	MPPERefused     Code = "mppe-refused"     //
	NoAddress       Code = "no-address"       //
	NetworkFailed   Code = "network-failed"   // no network protocol, for another reason
	ServerUnproven  Code = "server-unproven"  // the server did not prove that it knows the password
	EndedUnfinished Code = "ended-unfinished" // ended by a side before it was up
)

// seconds are those from start to t.
func seconds(start, t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.Sub(start).Microseconds()) / 1e6
}
