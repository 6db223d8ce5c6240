package cli

import (
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/gopptp/gopptp/examples/gateway/internal/admin"
)

func showCommand() *cobra.Command {
	return askCommand(&cobra.Command{
		Use:   "show ID",
		Short: "Show one session in full",
		Args:  cobra.ExactArgs(1),
	}, func(a *asker, args []string) error {
		var d admin.Detail
		return a.get("/sessions/"+url.PathEscape(args[0]), &d, func(w io.Writer) { printSession(w, &d) })
	})
}

func printSession(w io.Writer, d *admin.Detail) {
	out := tabwriter.NewWriter(w, 0, 0, gap, ' ', 0)
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(out, "%s\t%s\n", name, plain(value))
		}
	}
	line("session", string(d.ID))
	line("state", d.State)
	line("user", d.User)
	line("group", d.Group)
	line("let in by", d.Backend)
	line("from", d.Source.String())
	line("at", d.Server.String())
	line("address", d.Address.String())
	line("pool", d.Pool)
	line("gateway", d.Gateway.String())
	line("IPv6", strings.TrimSpace(d.IPv6Prefix+" "+d.IPv6Peer))
	line("DNS", addresses(d.DNS))
	line("NBNS", addresses(d.NBNS))
	line("began", d.StartedAt.Local().Format(time.DateTime))
	line("up since", d.UpAt.Local().Format(time.DateTime)+", "+span(d.Uptime))
	line("MTU", fmt.Sprint(d.MTU))
	line("encryption", d.Encryption)
	line("peer", d.PeerInfo)
	line("peer's name", d.PeerName)
	line("call", fmt.Sprintf("%s, serial number %d", d.CallInfo, d.CallSerialNumber))
	line("received", octets(d.ReceivedOctets))
	line("sent", octets(d.SentOctets))
	if d.Quota > 0 {
		line("quota", octets(d.Quota))
	}
	if l := d.Limits; l != nil {
		line("at most", "from it "+limit(l.FromPeer)+", to it "+limit(l.ToPeer))
	}
	if d.SessionTimeout > 0 {
		line("ends after", span(d.SessionTimeout))
	}
	if d.IdleTimeout > 0 {
		line("when idle", span(d.IdleTimeout))
	}
	out.Flush()
	printFigures(w, "counters", d.Counters)
}

func limit(bitsPerSecond uint64) string {
	if bitsPerSecond == 0 {
		return "any rate"
	}
	return bitRate(bitsPerSecond)
}

func addresses(list []netip.Addr) string {
	texts := make([]string, len(list))
	for i, a := range list {
		texts[i] = a.String()
	}
	return strings.Join(texts, " ")
}
