// Package kerneltest is a Linux kernel with PPTP, within the process: for tests of
// programs that use package kernel, on a machine without privileges and without such a
// kernel.
//
// A [Host] is a host on a [memory.Network]. [Host.Open] opens the data plane of package
// kernel there, the real one but for its system calls. Other hosts may be of this package
// or of package memory; to each other they are all the same.
//
// What the kernel is like is modelled, as far as a data plane sees it: call IDs and
// their collisions, GRE numbers, which frames go where, what a unit makes of packets of
// CCP that pass by, that it has no channel while its encryption is set, Linux's own MPPE,
// addresses and routes, and the time that closing takes. It is as heedless as the real
// one: what it is not told to hold back, it sends in clear.
//
// Tests make it fail by [Options], [Host.Fail], [Host.OnOp] and [Host.RemoveDevice], and
// look at [Host.Devices] and, at the end, [Host.Leaks].
//
// It lives in virtual time as package memory does (testing/synctest).
package kerneltest
