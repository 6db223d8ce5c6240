// Package accounting tells of sessions: that they have begun, how much they have had
// meanwhile, and how they have ended, to RADIUS servers and databases.
//
// An Accountant makes Records of what a sessions.Registry tells, and of what is due by
// time. A Queue keeps them in a file until each Sink has them; sessions never wait for it.
// The sinks are elsewhere: packages radiussink and sqlsink have them. They may change, by a
// Change, while sessions are up.
//
// What is promised: each session that was up has one Start and one Stop at each sink, in
// this order, whatever fails meanwhile, and Interims in between that are never older than
// what came before. A sink that comes late has the Starts of the sessions that are up, and
// one that goes has an Off for an end. The file says which sessions are up, in the same
// transactions that their records are in, so that a gateway that is killed owes each of
// these a Stop, and makes it when it starts again, with the usage of the last checkpoint.
//
// What is not: a record comes twice if the gateway is killed after its delivery and before
// the transaction that notes it, which begins at once and takes as long as the disk does;
// maxSend records at most, as no others are sent meanwhile. So it does if the gateway and
// its disk fail together. Of two that came, Session, Kind and Time are the same. While the
// disk fails, records are in memory only. A record that a sink refuses again and again is
// overtaken by later ones of its session.
package accounting

import "errors"

// errTorn is of a record on disk that is not one.
var errTorn = errors.New("accounting: not a record")
