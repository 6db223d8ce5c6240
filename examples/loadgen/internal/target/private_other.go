//go:build !linux

package target

// Private returns false: there are no network namespaces.
func Private() (bool, error) { return false, nil }
