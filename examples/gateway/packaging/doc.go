// Package packaging has what belongs to a host that runs the gateway: units of systemd, a
// Debian package, manual pages. Its tests prove them with the programs that they are for.
package packaging
