package kernel

import (
	"errors"
	"fmt"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/kernel/internal/driver"
	"github.com/gopptp/gopptp/mppe"
)

// encryption is what is encrypted, by MPPE.
type encryption struct{ send, receive bool }

// supported are the key lengths that the kernel knows.
func supported(p *mppe.Params) error {
	if p == nil || p.KeyLength == mppe.Key128 || p.KeyLength == mppe.Key40 {
		return nil
	}
	return fmt.Errorf("kernel: %w by the kernel: %v", mppe.ErrNotSupported, p.KeyLength)
}

// PrepareReceive implements gopptp.Call. No user's packet passes before SetEncryption,
// so there is nothing to prepare but that it can work. The device that it will take is
// made as soon as our request has left, which it would hold up.
func (c *call) PrepareReceive(p mppe.Params) error {
	if err := supported(&p); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errCallClosed
	}
	c.wantUnit = true
	return nil
}

// SetEncryption implements gopptp.Call.
func (c *call) SetEncryption(e gopptp.Encryption) error {
	if err := errors.Join(supported(e.Send), supported(e.Receive)); err != nil {
		return err
	}
	// They are the caller's.
	send, receive := clone(e.Send), clone(e.Receive)
	return c.enqueue(func() error {
		defer wipe(send)
		defer wipe(receive)
		if err := c.block(); err != nil {
			return err
		}
		c.encryption = encryption{}
		if send == nil && receive == nil {
			return c.decryptNoMore()
		}
		if err := c.needUnit(); err != nil {
			return err
		}
		// From here on the peer's next request is seen by the session first: the
		// kernel would encrypt no longer.
		filter := driver.Filter{NoClear: c.cfg.RequireEncryption || receive != nil, NoRestart: true}
		if err := c.setFilter(filter); err != nil {
			return err
		}
		if err := c.unit.SetEncryption(send, receive); err != nil {
			return fmt.Errorf("begin encryption: %w", err)
		}
		c.encryption = encryption{send != nil, receive != nil}
		return c.pass()
	})
}

func clone(p *mppe.Params) *mppe.Params {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}

// wipe forgets a key that the kernel has.
func wipe(p *mppe.Params) {
	if p != nil {
		p.Key = mppe.Key{}
	}
}

// decryptNoMore is a part of an operation: CCP has gone down.
func (c *call) decryptNoMore() error {
	if c.unit != nil {
		if err := c.unit.SetEncryption(nil, nil); err != nil {
			return fmt.Errorf("end encryption: %w", err)
		}
	}
	if c.cfg.RequireEncryption {
		return nil
	}
	// Users' packets pass in clear, if any do.
	if err := c.setFilter(driver.Filter{}); err != nil {
		return err
	}
	return c.pass()
}

// setFilter is a part of an operation.
func (c *call) setFilter(f driver.Filter) error {
	if f == c.filter {
		return nil // which takes the kernel its time
	}
	if err := c.socket.SetFilter(f); err != nil {
		return fmt.Errorf("filter: %w", err)
	}
	c.filter = f
	return nil
}

// mayPass reports whether users' packets may flow as far as encryption is concerned.
// The kernel cannot stop them in one direction alone.
func (c *call) mayPass() bool { return c.encryption.send || !c.cfg.RequireEncryption }

var errDecryption = errors.New("decryption has failed for good")

// askDecryption is an operation: a packet came that was not decrypted.
func (c *call) askDecryption() error {
	c.asking.Store(false)
	if !c.encryption.receive {
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
