// Package host knows what a machine must have to be many clients: addresses, ports,
// descriptors.
package host
