package kernel

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/kernel/internal/driver"
	"github.com/gopptp/gopptp/mppe"
)

// The kernel begins to decrypt when it sees the peer's Configure-Ack, if it has been
// given the key by then, and ignores one that comes when CCP is up. So CCP is up, to the
// kernel, not when the session says so but when decryption has begun as well: where our
// request was repeated, and the key set anew for that, the first Ack may have been what
// opened CCP, while it is the second that counts.

// encryption is what a call's operations know about MPPE.
type encryption struct {
	ccp      driver.CCP
	prepared bool // for receiving, since CCP went down
	want     gopptp.Encryption
	// waiting is for the peer's Configure-Ack. Frame reads it.
	waiting atomic.Bool
	// ready: users' packets may pass.
	ready bool
}

// supported are the key lengths that the kernel knows.
func supported(p *mppe.Params) error {
	if p == nil || p.KeyLength == mppe.Key128 || p.KeyLength == mppe.Key40 {
		return nil
	}
	return fmt.Errorf("kernel: %w by the kernel: %v", mppe.ErrNotSupported, p.KeyLength)
}

// PrepareReceive implements gopptp.Call.
func (c *call) PrepareReceive(p mppe.Params) error {
	if err := supported(&p); err != nil {
		return err
	}
	return c.enqueue(func() error {
		if err := c.openCCP(); err != nil {
			return err
		}
		if err := c.unit.PrepareReceive(p); err != nil {
			return fmt.Errorf("prepare decryption: %w", err)
		}
		c.encryption.prepared = true
		return nil
	})
}

// openCCP is a part of an operation.
func (c *call) openCCP() error {
	if err := c.needUnit(); err != nil {
		return err
	}
	if c.encryption.ccp != driver.CCPClosed {
		return nil
	}
	return c.setCCP(driver.CCPOpen)
}

func (c *call) setCCP(to driver.CCP) error {
	if err := c.unit.SetCCP(to); err != nil {
		return fmt.Errorf("CCP: %w", err)
	}
	c.encryption.ccp = to
	return nil
}

var errUnprepared = errors.New("kernel: packets are to be decrypted, for which nothing was prepared")

// SetEncryption implements gopptp.Call.
func (c *call) SetEncryption(e gopptp.Encryption) error {
	if err := errors.Join(supported(e.Send), supported(e.Receive)); err != nil {
		return err
	}
	// They are the caller's.
	own := func(p *mppe.Params) *mppe.Params {
		if p == nil {
			return nil
		}
		clone := *p
		return &clone
	}
	e = gopptp.Encryption{Send: own(e.Send), Receive: own(e.Receive)}
	return c.enqueue(func() error {
		c.encryption.ready = false
		c.encryption.want = e
		if err := c.block(); err != nil {
			return err
		}
		if e == (gopptp.Encryption{}) {
			return c.decryptNoMore()
		}
		if err := c.openCCP(); err != nil {
			return err
		}
		if e.Receive != nil && !c.encryption.prepared {
			return errUnprepared
		}
		// From here on the peer's next request is seen by the session first: the
		// kernel would encrypt no longer.
		filter := driver.Filter{NoClear: c.cfg.RequireEncryption || e.Receive != nil, NoRestart: true}
		if err := c.socket.SetFilter(filter); err != nil {
			return fmt.Errorf("filter: %w", err)
		}
		c.encryption.waiting.Store(e.Receive != nil)
		return c.begin()
	})
}

// decryptNoMore is a part of an operation: CCP has gone down.
func (c *call) decryptNoMore() error {
	c.encryption.waiting.Store(false)
	c.encryption.prepared = false
	if c.unit != nil && c.encryption.ccp != driver.CCPClosed {
		if err := c.setCCP(driver.CCPClosed); err != nil {
			return err
		}
	}
	if err := c.socket.SetFilter(driver.Filter{NoClear: c.cfg.RequireEncryption}); err != nil {
		return fmt.Errorf("filter: %w", err)
	}
	return nil
}

// begin is an operation: encryption goes both ways if the peer's Ack has come.
func (c *call) begin() error {
	e := &c.encryption
	if e.want == (gopptp.Encryption{}) || e.ready {
		return nil
	}
	if e.want.Receive != nil {
		begun, err := c.unit.ReceiveBegun()
		if err != nil || !begun {
			return err
		}
		e.waiting.Store(false)
	}
	if e.want.Send != nil {
		if err := c.unit.BeginSend(*e.want.Send); err != nil {
			return fmt.Errorf("begin encryption: %w", err)
		}
	}
	if err := c.setCCP(driver.CCPUp); err != nil {
		return err
	}
	e.want.Send, e.want.Receive = wipe(e.want.Send), wipe(e.want.Receive)
	e.ready = true
	return c.pass()
}

// wipe forgets a key that the kernel has.
func wipe(p *mppe.Params) *mppe.Params {
	if p != nil {
		p.Key = mppe.Key{}
	}
	return p
}

// mayPass reports whether users' packets may flow as far as encryption is concerned.
func (c *call) mayPass() bool {
	if c.encryption.want == (gopptp.Encryption{}) {
		return !c.cfg.RequireEncryption
	}
	return c.encryption.ready && (c.encryption.want.Send != nil || !c.cfg.RequireEncryption)
}

var errDecryption = errors.New("decryption has failed for good")

// askDecryption is an operation: a packet came that was not decrypted.
func (c *call) askDecryption() error {
	c.asking.Store(false)
	if c.unit == nil || !c.encryption.ready || c.encryption.want.Receive == nil {
		return nil
	}
	state, err := c.unit.Decryption()
	switch {
	case err != nil:
		return fmt.Errorf("decryption: %w", err)
	case state == driver.DecryptionFailed:
		return errDecryption
	case state == driver.DecryptionLost:
		c.tell(func(h gopptp.CallHandler) { h.ResetNeeded() })
	}
	return nil
}
