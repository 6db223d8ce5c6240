// Package lab proves the gateway and the client against real peers on a real
// Linux PPTP kernel, without hardware, virtualisation or the host's own network.
//
// It holds tests only. Each one runs within a sealed environment of its own,
// in which the test binary calls itself again as process 1:
//
//   - User-Mode Linux, a Linux kernel that runs as a process, with the host's
//     file system as its root. It has what the machine's own kernel often has
//     not: PPP, PPTP, GRE and MPPE. pptpd, pppd and pptp-linux run in it.
//   - fresh network, process and mount namespaces on the machine itself, for
//     what is faster there. Nothing of them outlives the test, even if that is
//     killed.
//   - both, where our side is to use AF_XDP, which that kernel knows nothing of:
//     User-Mode Linux then runs in such a namespace, and has its network card there.
//   - Debian's kernel on a processor that QEMU emulates: for `make bench-setups`, where
//     time is the number of instructions, and for `make bench-scale-lab`, which needs more
//     descriptors than a process may have elsewhere, and two processors.
//
// Traffic goes only to network namespaces that the test has made. The tests
// need root and the Debian packages named in scripts/lab-deps.sh; where those
// are missing they skip and say so, but fail if the environment has CI=true.
//
// TestDrills has what is behind the gateway fail, RADIUS servers, database and disk, while
// sessions are up. TestClock steps the clock, as only a kernel of one's own lets one do.
//
// Every packet capture that a test makes is decoded by tshark and by the package
// layers, which have to agree. scapy builds packets for our codecs to parse, and
// parses those that they have built.
//
// Try `make lab`, or a part of it:
//
//	go test -v ./lab -run 'TestReferencePair'
//	go test -v ./lab -run 'TestGateway/wrong_password'
//
// TestKernelPackages runs the library's own tests of its kernel data plane in
// User-Mode Linux: `make lab-kernel`. While one works on them, a package or a test
// at a time takes some seconds:
//
//	go test -v ./lab -run 'TestKernelPackages/driver/TestSocket'
//
// With LAB_KEEP=DIR set the logs and packet captures of every test are left
// below DIR.
package lab
