package report

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Machine says what this is measured on.
func Machine() string {
	model := runtime.GOARCH
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		info := map[string]string{}
		for line := range strings.Lines(string(text)) {
			key, value, _ := strings.Cut(line, ":")
			info[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
		if info["model name"] != "" {
			model = fmt.Sprintf("%s (family %s, model %s)", info["model name"], info["cpu family"], info["model"])
		}
	}
	var name unix.Utsname
	_ = unix.Uname(&name)
	return fmt.Sprintf("%d processors, %s, Linux %s, %s", runtime.NumCPU(), model,
		unix.ByteSliceToString(name.Release[:]), runtime.Version())
}
