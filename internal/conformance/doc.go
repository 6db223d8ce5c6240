// Package conformance says which requirement of which document is proved by
// which test, and keeps that true.
//
// The files in clauses/ hold the requirements, a file a document, in our own
// words. A line that begins with MUST, SHOULD or MAY, or their negations, begins
// a clause; what follows it, indented, is its proof, a test a line, and a reason
// that begins with a dash:
//
//	# RFC 2637
//	Point-to-Point Tunneling Protocol
//
//	## 3.1.4 Keep alives and timers
//
//	SHOULD A peer that was silent for 60 s is sent an Echo-Request.
//		pptp.TestEchoTimeout
//	MAY The moon is blue.
//		- It is not.
//
// A test is named by the path of its package in the repository, which is gopptp
// for the root, and its function, with a subtest behind a slash. A clause without
// a test is left out and needs a reason; beside tests, a reason is a remark.
//
// [Load] reads the clauses, [Index] the test files, [Check] compares them, and
// [Markdown] makes of them the page CONFORMANCE.md:
//
//	go generate ./internal/conformance
package conformance

//go:generate go run ./generate
