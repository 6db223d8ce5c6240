// Package rate limits how often something may happen: new connections, messages of a
// peer, lines in a log. It has no goroutine and reads no clock; nothing in it is safe
// for concurrent use.
package rate
