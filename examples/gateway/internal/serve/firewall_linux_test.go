package serve

import (
	"net/netip"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/nftables"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/internal/nstest"
)

// The firewall of the host knows who is in and who is banned, follows the configuration, and
// is left as it was. It is real; the time is not.
func TestFirewall(t *testing.T) {
	ns := nstest.New(t)
	nft := func() *nftables.Conn { return &nftables.Conn{NetNS: ns.FD} }
	if _, err := nft().ListTables(); err != nil && os.IsPermission(err) {
		nstest.Missing(t, "needs CAP_NET_ADMIN: %v", err)
	}
	synctest.Test(t, func(t *testing.T) {
		const section = "bans: {source_failures: 12}\nfirewall: {enabled: true}\n"
		w := start(t, gatewayConfig+section, func(o *Options) { o.firewallNamespace = ns.FD })
		table := &nftables.Table{Name: "gopptp", Family: nftables.TableFamilyINet}
		elements := func(name string) (list []string) {
			set, err := nft().GetSetByName(table, name)
			require.NoError(t, err)
			found, err := nft().GetSetElements(set)
			require.NoError(t, err)
			for _, e := range found {
				a, _ := netip.AddrFromSlice(e.Key)
				list = append(list, a.String())
			}
			return list
		}
		chains := func() (names []string) {
			list, err := nft().ListChainsOfTableFamily(nftables.TableFamilyINet)
			require.NoError(t, err)
			for _, c := range list {
				names = append(names, c.Name)
			}
			return names
		}
		alice, err := w.dial("192.0.2.7", "alice", "correct horse")
		require.NoError(t, err)
		assert.Equal(t, []string{"192.0.2.7"}, elements("peers"))
		for _, user := range []string{"carol", "dave", "erin"} {
			_, err = w.dial("192.0.2.9", user, "wrong")
			require.Error(t, err)
		}
		synctest.Wait()
		assert.Equal(t, []string{"192.0.2.9"}, elements("banned"))
		assert.Equal(t, []string{"input", "forward"}, chains())

		w.reloads(gatewayConfig + "bans: {allow: [192.0.2.9/32]}\nfirewall: {enabled: true, mss_clamp: false, nat: {masquerade: true}}\n")
		synctest.Wait()
		assert.Empty(t, elements("banned"))
		assert.Equal(t, []string{"input", "postrouting"}, chains())
		assert.Contains(t, elements("clients"), "10.9.1.1")
		assert.Contains(t, elements("peers"), "192.0.2.7")
		w.reloads(gatewayConfig)
		tables, err := nft().ListTables()
		require.NoError(t, err)
		assert.Empty(t, tables)
		w.reloads(gatewayConfig + section)
		assert.Equal(t, []string{"input", "forward"}, chains())
		assert.Contains(t, elements("peers"), "192.0.2.7", "who has been in all the time")

		alice.Close()
		<-alice.Done()
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.Empty(t, elements("peers"))
		w.signals <- syscall.SIGTERM
		w.stopped()
		require.NoError(t, w.err)
		tables, err = nft().ListTables()
		require.NoError(t, err)
		assert.Empty(t, tables)
	})
}
