package lab

import (
	"bytes"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// envDebianKernel names the directory into which Debian's kernel package is unpacked:
// scripts/debian-kernel.sh.
const envDebianKernel = "LAB_DEBIAN_KERNEL"

// nsPerInstruction is how much time passes in an emulated machine while its processor
// executes an instruction. None passes otherwise, but for what it waits for: its
// processes' time is the number of their instructions, whatever the host does meanwhile.
const (
	nsPerInstruction = 1 << instructionShift
	instructionShift = 1
)

//go:embed testdata/emulated_init.c
var emulatedInit []byte

// rootModules are what it takes to have the host's files, in the order of their
// dependencies.
var rootModules = []string{
	"drivers/virtio/virtio_ring", "drivers/virtio/virtio", "drivers/virtio/virtio_pci_legacy_dev",
	"drivers/virtio/virtio_pci_modern_dev", "drivers/virtio/virtio_pci",
	"fs/netfs/netfs", "fs/fscache/fscache", "net/9p/9pnet", "net/9p/9pnet_virtio", "fs/9p/9p",
}

// debianKernel is Debian's kernel, and the directory of its modules.
func debianKernel(t *testing.T) (image, modules string) {
	t.Helper()
	dir := os.Getenv(envDebianKernel)
	if dir == "" {
		t.Skipf("needs Debian's kernel: make bench-setups, or scripts/debian-kernel.sh DIR and %s=DIR", envDebianKernel)
	}
	for pattern, found := range map[string]*string{"boot/vmlinuz-*": &image, "lib/modules/*/kernel": &modules} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		require.NoError(t, err)
		require.Len(t, files, 1, "%s in %s", pattern, dir)
		*found = files[0]
	}
	return image, modules
}

// emulatedCommand returns how to boot Debian's kernel on an emulated machine that has the
// host's files, and what its command line says.
func emulatedCommand(t *testing.T, k kind, init, memory string, env ...string) []string {
	image, modules := debianKernel(t)
	dir := t.TempDir()
	initrd := filepath.Join(dir, "initrd")
	require.NoError(t, os.WriteFile(initrd, initramfs(t, dir, modules), 0o600))
	line := "console=ttyS0 loglevel=1 panic=-1 random.trust_cpu=on LAB_INIT=" + init
	for _, e := range env {
		line += " " + e
	}
	processors := []string{"-accel", "tcg", "-icount", fmt.Sprintf("shift=%d", instructionShift), "-smp", "1"}
	if k == emulatedPair {
		processors = []string{"-accel", "tcg,thread=multi", "-smp", "2"}
	}
	return append([]string{"qemu-system-x86_64", "-cpu", "max", "-m", memory, "-nic", "none", "-no-reboot",
		"-display", "none", "-monitor", "none", "-serial", "stdio",
		"-virtfs", "local,path=/,mount_tag=host,security_model=none,multidevs=remap",
		"-kernel", image, "-initrd", initrd, "-append", line}, processors...)
}

// initramfs is an archive with emulatedInit and its modules.
func initramfs(t *testing.T, dir, modules string) []byte {
	source, init := filepath.Join(dir, "init.c"), filepath.Join(dir, "init")
	require.NoError(t, os.WriteFile(source, emulatedInit, 0o600))
	out, err := exec.Command("cc", "-O2", "-static", "-o", init, source).CombinedOutput()
	require.NoError(t, err, "%s", out)
	var archive bytes.Buffer
	add := func(name string, mode int, content []byte) {
		// The header of the "newc" format of cpio: all in hexadecimal digits.
		fmt.Fprintf(&archive, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
			0, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name)+1, 0, name)
		pad := func() { archive.Write(make([]byte, -archive.Len()&3)) }
		pad()
		archive.Write(content)
		pad()
	}
	const directory, executable = 0o040755, 0o100755
	add("modules", directory, nil)
	content, err := os.ReadFile(init)
	require.NoError(t, err)
	add("init", executable, content)
	for i, m := range rootModules {
		content, err := os.ReadFile(filepath.Join(modules, m+".ko"))
		require.NoError(t, err)
		add(fmt.Sprintf("modules/%02d-%s.ko", i, filepath.Base(m)), executable, content)
	}
	add("TRAILER!!!", 0, nil)
	return archive.Bytes()
}
