// Package fuzz fuzzes whole sessions: a server, or a server and a client, on a
// network in memory, in virtual time, with a stream of events from the fuzzer.
// What decodes and what negotiates is fuzzed in its own package.
package fuzz
