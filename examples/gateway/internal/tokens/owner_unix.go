//go:build unix

package tokens

import (
	"os"
	"syscall"
)

// share has those read a file, made by root, who read the configuration: the gateway, which
// does not run as root.
func share(f *os.File, like string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(like)
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	if err := f.Chown(int(owner.Uid), int(owner.Gid)); err != nil {
		return err
	}
	return f.Chmod(0o600 | info.Mode().Perm()&0o040)
}
