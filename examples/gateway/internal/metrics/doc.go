// Package metrics is what the gateway counts, in the form that Prometheus scrapes.
//
// Nearly everything is counted already where it happens: a [Metrics] reads the snapshots
// when it is asked, by a [table] for each kind of them, so that a part of the gateway needs
// not know of Prometheus. Only what has no snapshot, as how long set-up takes, is counted here.
//
// The labels are of few values each, all of which the configuration or this program knows:
// no user, no session and no client's address is among them, so that the number of series
// does not grow with that of the sessions. Figures of a session are in the API.
package metrics
