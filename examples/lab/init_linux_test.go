package lab

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"unsafe"
)

// job is what the outer process hands to process 1 of an environment.
type job struct {
	Dir     string   // for logs; on the host's file system
	Args    []string // the program to run
	Cwd     string   // where it runs; Dir if empty
	Env     []string
	Modules string // directory of the kernel's modules; none are loaded if empty

	OwnKernel bool // mount everything, power off at the end
}

const jobFile = "job.json"

const searchPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// exitMark starts the line that tells the program's exit status, since User-Mode
// Linux's own says nothing.
const exitMark = "LAB-EXIT "

// bootMark is the line that ends what the kernel says of its start.
const bootMark = "LAB-BOOTED"

// modules are loaded in this order, which satisfies their dependencies.
var modules = []string{
	"drivers/net/slip/slhc", "drivers/net/ppp/ppp_generic", "drivers/net/ppp/pppox",
	"net/ipv4/gre", "drivers/net/ppp/pptp", "lib/crypto/libarc4", "drivers/net/ppp/ppp_mppe",
	"drivers/net/ppp/bsd_comp", "drivers/net/ppp/ppp_deflate", "lib/crc-ccitt", "drivers/net/ppp/ppp_async", "drivers/net/ppp/ppp_synctty",
	"drivers/net/tun", "drivers/net/veth", "drivers/net/dummy", "net/sched/sch_netem",
	"net/sched/sch_ingress", "net/sched/cls_matchall", "net/sched/act_police", "net/sched/act_gact",
}

// initMain is process 1. It makes the environment, runs the job's program,
// prints its exit status and takes everything down with it.
func initMain() {
	dir := os.Getenv(envDir)
	_ = os.Setenv("PATH", strings.TrimPrefix(searchPath, "PATH="))
	status, uml, err := runJob(dir)
	if err != nil {
		fmt.Println("lab:", err)
		status = 125
	}
	fmt.Printf("\n%s%d\n", exitMark, status)
	if uml {
		syscall.Sync()
		_ = syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
		select {}
	}
	os.Exit(status)
}

func runJob(dir string) (status int, uml bool, err error) {
	// A User-Mode Linux kernel is told apart before its job can be read, so
	// that it is powered off whatever goes wrong.
	uml = os.Getenv("HOME") == "/" && os.Getenv("TERM") == "linux"
	text, err := os.ReadFile(filepath.Join(dir, jobFile))
	if err != nil {
		return 0, uml, err
	}
	var j job
	if err := json.Unmarshal(text, &j); err != nil {
		return 0, uml, err
	}
	if err := mountAll(j.OwnKernel); err != nil {
		return 0, j.OwnKernel, err
	}
	if j.Modules != "" {
		for _, m := range modules {
			err := loadModule(filepath.Join(j.Modules, m+".ko"))
			if errors.Is(err, fs.ErrNotExist) {
				continue // other kernels have it built in
			}
			if err != nil {
				return 0, j.OwnKernel, err
			}
		}
	}
	fmt.Println(bootMark)
	cmd := exec.Command(j.Args[0], j.Args[1:]...)
	cmd.Env = append(j.Env, envDir+"="+dir)
	cmd.Dir = dir
	if j.Cwd != "" {
		cmd.Dir = j.Cwd
	}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return 0, j.OwnKernel, err
	}
	// Process 1 inherits orphans, such as a pppd whose pptpd was stopped.
	for {
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &ws, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return 0, j.OwnKernel, fmt.Errorf("wait: %w", err)
		case pid == cmd.Process.Pid && ws.Exited():
			return ws.ExitStatus(), j.OwnKernel, nil
		case pid == cmd.Process.Pid && ws.Signaled():
			return 128 + int(ws.Signal()), j.OwnKernel, nil
		}
	}
}

func mountAll(uml bool) error {
	type mount struct{ fs, dir, opts string }
	var mounts []mount
	if uml {
		mounts = []mount{
			{"proc", "/proc", ""}, {"sysfs", "/sys", ""},
			{"devtmpfs", "/dev", ""}, {"devpts", "/dev/pts", "ptmxmode=0666,mode=0620"},
		}
	} else {
		// Nothing mounted here may be seen outside.
		if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
			return fmt.Errorf("mount private: %w", err)
		}
		mounts = []mount{{"proc", "/proc", ""}, {"sysfs", "/sys", ""}}
	}
	// The host's files stay as they are: what peers write goes to memory.
	for _, d := range []string{"/run", "/var/log", "/etc/ppp"} {
		if _, err := os.Stat(d); err == nil {
			mounts = append(mounts, mount{"tmpfs", d, "mode=0755"})
		}
	}
	for _, m := range mounts {
		if m.fs == "devpts" {
			_ = os.MkdirAll(m.dir, 0o755)
		}
		if err := syscall.Mount(m.fs, m.dir, m.fs, 0, m.opts); err != nil && !errors.Is(err, syscall.EBUSY) {
			return fmt.Errorf("mount %s: %w", m.dir, err)
		}
	}
	if err := os.MkdirAll("/run/lock", 0o755); err != nil {
		return err
	}
	if uml {
		_ = syscall.Sethostname([]byte("lab"))
	}
	return exec.Command("ip", "link", "set", "lo", "up").Run()
}

func loadModule(path string) error {
	image, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	noParams := [1]byte{}
	_, _, e := syscall.Syscall(syscall.SYS_INIT_MODULE,
		uintptr(unsafe.Pointer(&image[0])), uintptr(len(image)), uintptr(unsafe.Pointer(&noParams)))
	if e != 0 && e != syscall.EEXIST {
		return fmt.Errorf("load %s: %w", filepath.Base(path), e)
	}
	return nil
}

// kernelModules finds the modules of the installed User-Mode Linux.
func kernelModules() (string, error) {
	found, err := filepath.Glob("/usr/lib/uml/modules/*/kernel")
	if err != nil || len(found) == 0 {
		return "", errors.New("no modules below /usr/lib/uml/modules")
	}
	if len(found) == 1 {
		return found[0], nil
	}
	version, err := exec.Command("linux.uml", "--version").Output()
	if err != nil {
		return "", fmt.Errorf("linux.uml --version: %w", err)
	}
	want := "/" + string(bytes.TrimSpace(version)) + "/"
	for _, dir := range found {
		if strings.Contains(dir, want) {
			return dir, nil
		}
	}
	return "", fmt.Errorf("no modules for kernel %s", bytes.TrimSpace(version))
}
