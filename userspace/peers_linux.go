package userspace

import (
	"net/netip"
	"sync"
)

// peerSet counts the open calls by the outer address of their peer.
type peerSet struct {
	mu    sync.RWMutex
	calls map[netip.Addr]int
}

func (p *peerSet) add(a netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.calls == nil {
		p.calls = make(map[netip.Addr]int)
	}
	p.calls[a]++
}

func (p *peerSet) remove(a netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.calls[a]--; p.calls[a] <= 0 {
		delete(p.calls, a)
	}
}

func (p *peerSet) has(a netip.Addr) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.calls[a] > 0
}
