// Package conversation makes of the packets of a capture what two ends of PPTP
// said to each other, and says in plain words why it failed.
//
// An [Analyzer] is given packets and keeps what is to be known of each control
// connection and call: the phases, the options, who sent what again, what GRE
// lost, and how it ended. [Analyzer.Report] is the result; [Report.WriteText]
// prints it. Nothing here opens a file.
//
// The analyzer stands on the way between the two ends. What it sees lost was
// lost before it came here, and what it sees may yet be lost behind it.
//
// An Analyzer is used by one goroutine. Passwords and keys are in no report.
package conversation
