// Package nstest gives tests network namespaces of their own, on Linux. It is for
// packages of this module.
package nstest
