package driver

// Answer is what a probe found out about an ability.
type Answer uint8

// The answers.
const (
	// Unknown: it could not tell.
	Unknown Answer = iota
	Supported
	NotSupported
)

// Finding is the answer about one ability, in words a user can act on.
type Finding struct {
	Answer Answer
	// Err is why it is not Supported; nil if it is.
	Err error
	// Advice is what to do about it, such as a command. It may be empty.
	Advice string
}

// Findings are those about all that package kernel needs.
type Findings struct {
	PPTP       Finding // sockets of the PPTP driver (modules pptp, pppox, gre)
	PPP        Finding // ppp_generic, its device node, and that it may be used
	MPPE       Finding // ppp_mppe
	Rates      Finding // limits: sch_ingress, cls_matchall, act_police, act_gact
	Privileges Finding // capabilities CAP_NET_ADMIN and CAP_NET_RAW
}
