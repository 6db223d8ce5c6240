package tunnels

import (
	"bufio"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/gopptp/gopptp/examples/bench/internal/child"
	"github.com/gopptp/gopptp/examples/bench/internal/netns"
)

// WireGuardModule is the version that is compared with.
const WireGuardModule = "golang.zx2c4.com/wireguard@v0.0.0-20260522210424-ecfc5a8d5446"

const (
	wireGuardPort = 51820
	wireGuardMTU  = 1420 // its default
)

// BuildWireGuard builds wireguard-go in dir, which it will also keep its sockets
// in: the path must be short.
func BuildWireGuard(ctx context.Context, dir string) error {
	cmd := exec.CommandContext(ctx, "go", "install", "-ldflags",
		"-X golang.zx2c4.com/wireguard/ipc.socketDirectory="+dir, WireGuardModule)
	cmd.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w: %s", cmd, err, out)
	}
	return nil
}

// WireGuard is wireguard-go, as built in dir.
func WireGuard(dir string) Kind {
	return func(t *Tunnel) error {
		var keys [2]*ecdh.PrivateKey
		for i := range keys {
			var err error
			if keys[i], err = ecdh.X25519().GenerateKey(rand.Reader); err != nil {
				return err
			}
		}
		outer := [2]netip.Addr{outerClient.Addr(), outerServer.Addr()}
		inner := [2]netip.Addr{innerClient, innerServer}
		// The names of devices are those of sockets in one directory.
		names := [2]string{"wg-client", "wg-server"}
		if err := t.ends(func(ns *netns.Namespace, server bool) (*child.Process, error) {
			me, peer := 0, 1
			if server {
				me, peer = 1, 0
			}
			cmd := exec.Command(filepath.Join(dir, "wireguard"), "-f", names[me])
			p, err := child.Start(ns, cmd)
			if err != nil {
				return nil, err
			}
			if err := configureWireGuard(filepath.Join(dir, names[me]+".sock"), []string{
				"private_key=" + hex.EncodeToString(keys[me].Bytes()),
				fmt.Sprintf("listen_port=%d", wireGuardPort),
				"public_key=" + hex.EncodeToString(keys[peer].PublicKey().Bytes()),
				fmt.Sprintf("endpoint=%v", netip.AddrPortFrom(outer[peer], wireGuardPort)),
				fmt.Sprintf("allowed_ip=%v/32", inner[peer]),
			}); err != nil {
				p.Stop()
				return nil, fmt.Errorf("wireguard-go: %w: %s", err, p.Output())
			}
			return p, nil
		}); err != nil {
			return err
		}
		t.ClientAddresses, t.ServerAddress = inner[:1], inner[1]
		if err := t.Client.Configure(names[0], inner[0], inner[1], wireGuardMTU); err != nil {
			return err
		}
		return t.Server.Configure(names[1], inner[1], inner[0], wireGuardMTU)
	}
}

// configureWireGuard sets what lines say, by the protocol of
// https://www.wireguard.com/xplatform/.
func configureWireGuard(socket string, lines []string) error {
	if err := eventually("the socket "+socket, func() bool {
		_, err := os.Stat(socket)
		return err == nil
	}); err != nil {
		return err
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := fmt.Fprintf(conn, "set=1\n%s\n\n", strings.Join(lines, "\n")); err != nil {
		return err
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err
	}
	if answer != "errno=0\n" {
		return fmt.Errorf("it says %q", answer)
	}
	return nil
}
