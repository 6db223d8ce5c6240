// Package accounting tells of sessions: that they have begun, how much they have had
// meanwhile, and how they have ended, to RADIUS servers and databases.
package accounting

import "errors"

// errTorn is of a record on disk that is not one.
var errTorn = errors.New("accounting: not a record")
