package importer

import (
	"net/netip"
	"slices"
	"strings"
)

// pppd is what options of pppd say.
type pppd struct {
	m          *importing
	name       string // of the server, in chap-secrets
	required   []string
	dns, wins  []netip.Addr
	mppe       string // require or deny; empty: neither
	no40       bool
	no128      bool
	stateful   bool
	mtu        int
	radius     bool
	radiusFile string
	files      int // that were read
}

// methods are those that a require option has, as the gateway names them.
var methods = map[string]string{
	"require-pap": "pap", "+pap": "pap", "require-chap": "chap-md5", "+chap": "chap-md5", "require-chap-md5": "chap-md5",
	"require-mschap": "ms-chapv1", "+chapms": "ms-chapv1", "+mschap": "ms-chapv1",
	"require-mschap-v2": "ms-chapv2", "+chapms-v2": "ms-chapv2", "+mschap-v2": "ms-chapv2",
	"require-eap": "eap",
}

// strength is the order in which methods are to be offered.
var strength = []string{"ms-chapv2", "eap", "ms-chapv1", "chap-md5", "pap"}

// silent are options that lose nothing when they are left out: of serial lines, of logs, of
// what PPP negotiates here anyway, and of how pppd proves itself to others.
var silent = strings.Fields(`lock nolock auth asyncmap default-asyncmap -am crtscts nocrtscts modem local nodefaultroute
	-defaultroute nobsdcomp nodeflate novj novjccomp nopcomp noaccomp noipx nologfd logfd logfile hide-password
	show-password debug dump nodetach updetach detach refuse-pap -pap refuse-chap -chap refuse-chap-md5 refuse-mschap -chapms -mschap
	refuse-mschap-v2 -chapms-v2 -mschap-v2 refuse-eap noipdefault ipcp-accept-local ipcp-accept-remote passive -p silent
	lcp-restart lcp-max-configure lcp-max-failure lcp-max-terminate ipcp-restart ipcp-max-configure ipcp-max-failure
	ipcp-max-terminate chap-max-challenge chap-restart pap-timeout pap-restart pap-max-authreq ccp-max-configure
	nomagic noendpoint nomp nomultilink nopredictor1 linkname chapms-strip-domain nolog noproxyarp kdebug nopersist maxfail
	connect-delay remotename noipv6 -ip6 ktune noktune mppe-stateless nomppe-stateful nomppe-56 nodefaultroute6`)

// arguments are how many words follow an option that is not carried over.
var arguments = map[string]int{
	"asyncmap": 1, "logfd": 1, "logfile": 1, "lcp-restart": 1, "lcp-max-configure": 1, "lcp-max-failure": 1,
	"lcp-max-terminate": 1, "ipcp-restart": 1, "ipcp-max-configure": 1, "ipcp-max-failure": 1, "ipcp-max-terminate": 1,
	"chap-max-challenge": 1, "chap-restart": 1, "pap-timeout": 1, "pap-restart": 1, "pap-max-authreq": 1,
	"ccp-max-configure": 1, "linkname": 1, "kdebug": 1, "maxfail": 1, "connect-delay": 1, "remotename": 1,
	"ipparam": 1, "domain": 1, "unit": 1, "active-filter": 1, "pass-filter": 1, "connect": 1, "disconnect": 1,
	"ip-up-script": 1, "ip-down-script": 1, "ntlm_auth-helper": 1, "record": 1, "user": 1, "password": 1, "ipv6": 1,
	"endpoint": 1, "mrru": 1, "bsdcomp": 1, "deflate": 1, "allow-ip": 1, "allow-number": 1, "set": 1, "map-to-ifname": 1,
	"map-to-ttyname": 1, "avpair": 1, "welcome": 1, "init": 1, "netmask": 1, "ms-wins6": 1,
}

// reasons say why an option is not carried over.
var reasons = map[string]string{
	"proxyarp":         "the gateway answers no ARP for its clients: route the pools to it, or have them in a network of their own",
	"defaultroute":     "the gateway sets no default route",
	"noauth":           "users always prove themselves here",
	"login":            "accounts of the host are not asked; a RADIUS server can do that",
	"multilink":        "there is no multilink",
	"mp":               "there is no multilink",
	"bsdcomp":          "packets are not compressed",
	"deflate":          "packets are not compressed",
	"ipparam":          "no scripts are run; gateway events tells of sessions",
	"ip-up-script":     "no scripts are run; gateway events tells of sessions",
	"ip-down-script":   "no scripts are run; gateway events tells of sessions",
	"active-filter":    "every packet counts as activity",
	"pass-filter":      "filter packets by a firewall",
	"ntlm_auth-helper": "Windows domains are not asked; a RADIUS server can do that",
	"ipv6":             "see ipv6.prefix",
	"+ipv6":            "see ipv6.prefix",
	"noccp":            "see encryption: deny",
	"allow-ip":         "which addresses clients have, pools and users say",
	"demand":           "the gateway dials nobody",
	"persist":          "the gateway dials nobody",
	"netmask":          "tunnels have no netmask",
}

// maxFiles is how many files of options are read.
const maxFiles = 32

// read takes in a file of options.
func (p *pppd) read(file string) {
	if p.files++; p.files > maxFiles {
		if p.files == maxFiles+1 {
			p.m.note(file, 0, "not carried over: it is one file of options too many, as when they name each other")
		}
		return
	}
	lines, err := p.m.lines(file)
	if err != nil {
		p.m.unreadable(file, err)
		return
	}
	for _, l := range lines {
		list := words(l.text)
		for len(list) > 0 {
			used := p.option(reader{p.m, file, l.number, list[0]}, list[1:])
			list = list[1+min(used, len(list)-1):]
		}
	}
}

// option takes in one, and returns how many words it has behind it.
func (p *pppd) option(r reader, rest []string) int {
	arg := ""
	if len(rest) > 0 {
		arg = rest[0]
	}
	if method, ok := methods[r.key]; ok {
		p.required = append(p.required, method)
		return 0
	}
	switch r.key {
	case "name":
		p.name = arg
		p.m.set("name", quoted(arg))
	case "ms-dns":
		r.addServer(&p.dns, arg)
	case "ms-wins":
		r.addServer(&p.wins, arg)
	case "mtu", "mru":
		n, ok := r.number(arg)
		switch {
		case !ok:
		case n < 576 || n > 1500:
			r.note("not carried over: %s %d: mtu is from 576 to 1500", r.key, n)
		case p.mtu == 0 || n < p.mtu:
			p.mtu = n
		}
	case "lcp-echo-interval":
		r.setSeconds("echo.interval", arg, 1e9, 24*3600e9)
	case "lcp-echo-failure":
		if arg != "0" {
			r.setNumber("echo.failures", arg, 1, 100)
		}
	case "idle":
		r.setSeconds("policy.idle_timeout", arg, 1e9, 1<<62)
	case "maxconnect":
		r.setSeconds("policy.session_timeout", arg, 1e9, 1<<62)
	case "chap-interval":
		r.setSeconds("reauthenticate", arg, 10e9, 24*3600e9)
	case "file", "call":
		if r.key == "call" {
			arg = "/etc/ppp/peers/" + arg
		}
		p.read(arg)
	case "plugin":
		p.plugin(r, arg)
	case "radius-config-file":
		p.radiusFile = arg
	default:
		return p.flag(r)
	}
	return 1
}

// flag is an option without words behind it, or one that is not carried over.
func (p *pppd) flag(r reader) int {
	switch r.key {
	case "require-mppe", "+mppe":
		p.mppe = "require"
	case "require-mppe-128", "+mppe-128":
		p.mppe, p.no40 = "require", true
	case "require-mppe-40", "+mppe-40":
		p.mppe, p.no128 = "require", true
	case "nomppe", "-mppe":
		p.mppe = "deny"
	case "nomppe-40", "-mppe-40":
		p.no40 = true
	case "nomppe-128", "-mppe-128":
		p.no128 = true
	case "mppe-stateful":
		p.stateful = true
	default:
		p.other(r)
	}
	return arguments[r.key]
}

func (p *pppd) other(r reader) {
	reason, known := reasons[r.key]
	switch {
	case known:
		r.note("not carried over: %s: %s", r.key, reason)
	case slices.Contains(silent, r.key):
	case strings.Contains(r.key, ":"):
		r.note("not carried over: %s: addresses are those of pptpd.conf", r.key)
	default:
		r.note("not carried over: %s is not known here", quoted(r.key))
	}
}

func (p *pppd) plugin(r reader, file string) {
	switch name := file[strings.LastIndexByte(file, '/')+1:]; name {
	case "radius.so":
		p.radius = true
	case "radattr.so":
		r.note("not carried over: plugin radattr.so: no files of attributes are written; gateway show tells what a session has")
	case "winbind.so":
		r.note("not carried over: plugin winbind.so: Windows domains are not asked; a RADIUS server can do that")
	case "pptpd-logwtmp.so":
	default:
		r.note("not carried over: plugin %s is not known here", quoted(name))
	}
}

// finish sets what several options together say.
func (p *pppd) finish() {
	if len(p.dns) > 0 {
		p.m.set("dns", flow(p.dns))
	}
	if len(p.wins) > 0 {
		p.m.set("wins", flow(p.wins))
	}
	if p.mtu != 0 {
		p.m.setInt("mtu", p.mtu)
	}
	p.m.security(p.required, p.mppe, p.no40, p.no128, p.stateful)
}
