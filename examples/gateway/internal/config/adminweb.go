package config

import (
	"fmt"
	"net/netip"
)

// AdminWeb is the address of the web page and the API for those who have a token.
type AdminWeb struct {
	Listen      WebAddr `yaml:"listen"`
	TokensFile  string  `yaml:"tokens_file"`
	Certificate string  `yaml:"certificate"`
	Key         string  `yaml:"key"`
}

// WebAddr is an address of any kind and a port. The zero value is none.
type WebAddr struct{ netip.AddrPort }

func parseWebAddr(text string) (WebAddr, error) {
	if text == "" {
		return WebAddr{}, nil
	}
	addr, err := netip.ParseAddrPort(text)
	if err != nil || addr.Port() == 0 || addr.Addr().Zone() != "" {
		return WebAddr{}, fmt.Errorf("%q is not an address and port, like 192.0.2.1:9443 or [2001:db8::1]:9443", text)
	}
	return WebAddr{netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())}, nil
}

// adminWeb looks whether what is needed is there.
func (k *checker) adminWeb() {
	w := &k.cfg.Admin.Web
	if !w.Listen.IsValid() {
		return
	}
	if w.TokensFile == "" {
		k.bad("admin.web.listen", "needs admin.web.tokens_file: who may come in by it")
	}
	switch {
	case w.Certificate == "" && w.Key != "":
		k.bad("admin.web.key", "needs admin.web.certificate")
	case w.Certificate != "" && w.Key == "":
		k.bad("admin.web.certificate", "needs admin.web.key")
	case w.Certificate == "" && !w.Listen.Addr().IsLoopback():
		k.bad("admin.web.listen", "%v can be reached from elsewhere, where tokens could be read on the way: it needs admin.web.certificate and admin.web.key", w.Listen)
	}
}
