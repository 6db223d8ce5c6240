package kernel

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gopptp/gopptp/kernel/internal/driver"
)

// Answer is what [Probe] found out about an ability.
type Answer uint8

// The answers.
const (
	// Unknown: it could not tell, as without privileges.
	Unknown Answer = iota
	Supported
	NotSupported
)

var answerNames = [...]string{"could not tell", "supported", "not supported"}

func (a Answer) String() string {
	if int(a) < len(answerNames) {
		return answerNames[a]
	}
	return fmt.Sprintf("answer %d", uint8(a))
}

// Ability is something that the data plane needs of the host.
type Ability struct {
	Name   string // such as "PPTP driver"
	Answer Answer
	// Err is why the answer is not Supported; nil if it is.
	Err error
	// Advice is what to do about it, such as a command. It may be empty.
	Advice string
}

func (a Ability) String() string {
	s := a.Name + ": " + a.Answer.String()
	if a.Err != nil {
		s += ": " + a.Err.Error()
	}
	if a.Advice != "" {
		s += " (" + a.Advice + ")"
	}
	return s
}

// Report is what the host can do.
type Report struct {
	PPTP       Ability // the driver: modules pptp, pppox and gre
	PPP        Ability // module ppp_generic, and /dev/ppp
	MPPE       Ability // module ppp_mppe; only encryption needs it
	Rates      Ability // limits: modules sch_ingress, cls_matchall, act_police and act_gact; only sessions that have some need them
	Privileges Ability // capabilities CAP_NET_ADMIN and CAP_NET_RAW
}

// Abilities are those of r, in the order in which they depend on each other.
func (r Report) Abilities() []Ability {
	return []Ability{r.Privileges, r.PPP, r.PPTP, r.MPPE, r.Rates}
}

// Err says what is missing for a data plane, with encryption or without; nil: nothing
// is. It wraps gopptp.ErrNotSupported. Sessions with limits need Rates as well.
func (r Report) Err(encryption bool) error {
	needed := []Ability{r.Privileges, r.PPP, r.PPTP}
	if encryption {
		needed = append(needed, r.MPPE)
	}
	var missing []string
	for _, a := range needed {
		if a.Answer != Supported {
			missing = append(missing, a.String())
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("kernel: %s: %w", strings.Join(missing, "; "), errors.ErrUnsupported)
}

func (r Report) String() string {
	var lines []string
	for _, a := range r.Abilities() {
		lines = append(lines, a.String())
	}
	return strings.Join(lines, "\n")
}

// Probe finds out what the host can do, in the network namespace of the calling thread.
// It has the kernel load the modules that it can, and for MPPE makes a PPP unit for a
// moment. Any goroutine may call it.
func Probe() Report { return report(driver.Probe()) }

func report(f driver.Findings) Report {
	ability := func(name string, f driver.Finding) Ability {
		a := Ability{Name: name, Err: f.Err, Advice: f.Advice}
		switch f.Answer {
		case driver.Supported:
			a.Answer = Supported
		case driver.NotSupported:
			a.Answer = NotSupported
		}
		return a
	}
	return Report{
		PPTP:       ability("PPTP driver", f.PPTP),
		PPP:        ability("PPP", f.PPP),
		MPPE:       ability("MPPE", f.MPPE),
		Rates:      ability("rate limits", f.Rates),
		Privileges: ability("privileges", f.Privileges),
	}
}
