// Package agenda keeps what is due when, for very many things that share one timer.
package agenda

import (
	"container/heap"
	"time"
)

// Agenda has at most one time for each key. Its zero value is empty and ready. It is
// for one goroutine at a time.
type Agenda[K comparable] struct {
	items items[K]
}

// Set notes that key is due at a time, and no longer at another.
func (a *Agenda[K]) Set(key K, at time.Time) {
	if i, ok := a.items.index[key]; ok {
		a.items.list[i].at = at
		heap.Fix(&a.items, i)
		return
	}
	if a.items.index == nil {
		a.items.index = make(map[K]int)
	}
	heap.Push(&a.items, item[K]{key, at})
}

// Remove forgets key, if it is there.
func (a *Agenda[K]) Remove(key K) {
	if i, ok := a.items.index[key]; ok {
		heap.Remove(&a.items, i)
	}
}

// At is when key is due, if it is there.
func (a *Agenda[K]) At(key K) (at time.Time, ok bool) {
	i, ok := a.items.index[key]
	if !ok {
		return time.Time{}, false
	}
	return a.items.list[i].at, true
}

// Len is how many keys there are.
func (a *Agenda[K]) Len() int { return len(a.items.list) }

// Next is when the first key is due, if there is any.
func (a *Agenda[K]) Next() (at time.Time, ok bool) {
	if len(a.items.list) == 0 {
		return time.Time{}, false
	}
	return a.items.list[0].at, true
}

// Due takes out the first key, if it is due by now.
func (a *Agenda[K]) Due(now time.Time) (key K, ok bool) {
	if at, any := a.Next(); !any || at.After(now) {
		return key, false
	}
	return heap.Pop(&a.items).(item[K]).key, true
}

type item[K comparable] struct {
	key K
	at  time.Time
}

// items implements heap.Interface, and knows where each key is.
type items[K comparable] struct {
	list  []item[K]
	index map[K]int
}

func (h *items[K]) Len() int           { return len(h.list) }
func (h *items[K]) Less(i, j int) bool { return h.list[i].at.Before(h.list[j].at) }

func (h *items[K]) Swap(i, j int) {
	h.list[i], h.list[j] = h.list[j], h.list[i]
	h.index[h.list[i].key], h.index[h.list[j].key] = i, j
}

func (h *items[K]) Push(x any) {
	it := x.(item[K])
	h.index[it.key] = len(h.list)
	h.list = append(h.list, it)
}

func (h *items[K]) Pop() any {
	last := len(h.list) - 1
	it := h.list[last]
	h.list[last] = item[K]{}
	h.list = h.list[:last]
	delete(h.index, it.key)
	return it
}
