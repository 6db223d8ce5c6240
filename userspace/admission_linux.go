package userspace

import (
	"fmt"
	"math"
	"slices"
	"sync"
)

// callIDs are the call IDs whose packets a raw socket takes: a range, and more. The
// zero value is all.
type callIDs struct {
	first, last uint16
	more        []uint16
}

func (c callIDs) all() bool { return c.last == 0 || c.first <= 1 && c.last == math.MaxUint16 }

// admission has the raw sockets take packets of adopted calls, whose IDs are not in
// the range.
type admission struct {
	all     callIDs // without more
	sockets []*greSocket

	mu      sync.Mutex
	adopted [][]uint16 // of each socket; one that several peers have is there as often
}

// add returns when packets of calls with that ID come.
func (a *admission) add(id uint16) error {
	err := a.change(id, func(list []uint16) []uint16 { return append(list, id) })
	if err != nil {
		a.remove(id)
	}
	return err
}

// remove undoes an add that returned no error.
func (a *admission) remove(id uint16) {
	// If it fails, too much comes.
	_ = a.change(id, func(list []uint16) []uint16 {
		i := slices.Index(list, id)
		return slices.Delete(list, i, i+1)
	})
}

func (a *admission) change(id uint16, f func(list []uint16) []uint16) error {
	if a.all.all() || a.all.first <= id && id <= a.all.last {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.adopted == nil {
		a.adopted = make([][]uint16, len(a.sockets))
	}
	calls := share{int(id) % len(a.sockets), len(a.sockets)}
	list := &a.adopted[calls.index]
	before := len(*list)
	*list = f(*list)
	if min(before, len(*list)) > maxListed {
		return nil // all come
	}
	// The kernel replaces a filter between two packets.
	filter := greFilter(calls, callIDs{a.all.first, a.all.last, *list})
	var err error
	if e := a.sockets[calls.index].use(func(fd int) { err = attachFilter(fd, filter) }); e != nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("userspace: raw GRE socket: filter: %w", err)
	}
	return nil
}
