package driver

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp/mppe"
)

// Probe finds out what the kernel can do, in the network namespace of the calling
// thread. It makes a unit for a moment. The kernel may load modules for it.
func Probe() Findings {
	f := Findings{
		Privileges: probePrivileges(),
		PPTP:       probePPTP(),
		PPP:        probePPP(),
		MPPE:       Finding{Err: errNoPPP},
		Rates:      Finding{Err: errNoPPP},
	}
	if f.PPP.Answer == Supported {
		f.MPPE = probeUnit(probeMPPE)
		f.Rates = probeUnit(probeRates)
	}
	return f
}

var errNoPPP = errors.New("there is no PPP to try it with")

// probeUnit calls f with a unit that is there for the moment.
func probeUnit(f func(u *unit) Finding) Finding {
	fd, err := unix.Open(devPPP, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return Finding{Err: fmt.Errorf("open %s: %w", devPPP, err)}
	}
	defer unix.Close(fd)
	u := &unit{file: &pppFile{fd: fd}}
	if err := newUnit(u); err != nil {
		return Finding{Err: err}
	}
	return f(u)
}

func supported() Finding { return Finding{Answer: Supported} }

func probePPTP() Finding {
	fd, err := openPPTP()
	switch {
	case err == nil:
		unix.Close(fd)
		return supported()
	case errors.Is(err, unix.EAFNOSUPPORT), errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.ESOCKTNOSUPPORT):
		return Finding{NotSupported, fmt.Errorf("the kernel has no PPTP driver: %w", err), "modprobe pptp"}
	}
	return Finding{Err: err}
}

func probePPP() Finding {
	fd, err := unix.Open(devPPP, unix.O_RDWR|unix.O_CLOEXEC, 0)
	switch {
	case err == nil:
		unix.Close(fd)
		return supported()
	case errors.Is(err, unix.ENOENT):
		return Finding{NotSupported, fmt.Errorf("there is no %s: %w", devPPP, err), "modprobe ppp_generic, or mknod /dev/ppp c 108 0 in a container"}
	case errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return Finding{NotSupported, fmt.Errorf("the kernel has no PPP: %w", err), "modprobe ppp_generic"}
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return Finding{Unknown, fmt.Errorf("%s may not be opened: %w", devPPP, err), "run with the capability CAP_NET_ADMIN"}
	}
	return Finding{Err: fmt.Errorf("open %s: %w", devPPP, err)}
}

func probeMPPE(u *unit) Finding {
	err := u.compress(mppe.Params{KeyLength: mppe.Key128}, true)
	switch {
	case err == nil:
		return supported()
	case errors.Is(err, unix.EINVAL):
		return Finding{NotSupported, fmt.Errorf("the kernel has no MPPE: %w", err), "modprobe ppp_mppe"}
	case errors.Is(err, unix.ENOBUFS):
		return Finding{NotSupported, fmt.Errorf("the kernel's MPPE refuses to work: %w", err), "see whether the kernel is in FIPS mode, which forbids RC4"}
	}
	return Finding{Err: err}
}

func probeRates(u *unit) Finding {
	n, err := openNetlink()
	if err != nil {
		return Finding{Err: err}
	}
	defer n.close()
	if _, u.index, err = n.nameUnit(fmt.Sprintf("ppp%d", u.number), ""); err == nil {
		any := Rate{BitsPerSecond: 1e6}
		err = n.setRates(u.index, &u.rates, any, any)
	}
	switch {
	case err == nil:
		return supported()
	case errors.Is(err, errNoPolice):
		return Finding{NotSupported, err, "modprobe -a sch_ingress cls_matchall act_police act_gact"}
	}
	return Finding{Err: err}
}

// capabilities that are needed.
var capabilities = []struct {
	name string
	bit  uint
}{
	{"CAP_NET_ADMIN", unix.CAP_NET_ADMIN},
	{"CAP_NET_RAW", unix.CAP_NET_RAW},
}

func probePrivileges() Finding {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return Finding{Err: os.NewSyscallError("capget", err)}
	}
	var missing []string
	for _, c := range capabilities {
		if data[c.bit/32].Effective&(1<<(c.bit%32)) == 0 {
			missing = append(missing, c.name)
		}
	}
	if len(missing) > 0 {
		return Finding{NotSupported, fmt.Errorf("the process lacks %s: %w", strings.Join(missing, " and "), unix.EPERM), "run as root, or give it the capabilities"}
	}
	return supported()
}
