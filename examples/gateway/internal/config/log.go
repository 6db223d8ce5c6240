package config

import (
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"strings"
)

// Log says what is logged, how, and where to.
type Log struct {
	Level  slog.Level `yaml:"level"`
	Format LogFormat  `yaml:"format"`
	Output LogOutput  `yaml:"output"`
	Syslog SyslogAddr `yaml:"syslog"`
}

// LogFormat is how a log record is written.
type LogFormat string

// The formats.
const (
	LogText LogFormat = "text"
	LogJSON LogFormat = "json"
)

// LogOutput is where log records go.
type LogOutput string

// The outputs.
const (
	LogStderr   LogOutput = "stderr"
	LogSyslog   LogOutput = "syslog"
	LogJournald LogOutput = "journald"
)

func parseOutput(text string) (LogOutput, error) {
	switch o := LogOutput(text); o {
	case LogStderr, LogSyslog, LogJournald:
		return o, nil
	}
	return "", notOneOf(text, string(LogStderr), string(LogSyslog), string(LogJournald))
}

// SyslogAddr is a syslog server, as package net takes it. The zero value is that of the
// host.
type SyslogAddr struct{ Network, Address string }

// String is the address as it is written.
func (a SyslogAddr) String() string {
	switch a.Network {
	case "":
		return ""
	case "unixgram":
		return "unix:" + a.Address
	}
	return a.Network + "://" + a.Address
}

func parseSyslogAddr(text string) (SyslogAddr, error) {
	if text == "" {
		return SyslogAddr{}, nil
	}
	if path, ok := strings.CutPrefix(text, "unix:"); ok && filepath.IsAbs(path) && len(path) <= maxSocketPath {
		return SyslogAddr{"unixgram", path}, nil
	}
	network, address, _ := strings.Cut(text, "://")
	host, port, err := net.SplitHostPort(address)
	if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || n == 0 || host == "" || network != "udp" && network != "tcp" {
		return SyslogAddr{}, fmt.Errorf("%q is not a syslog server, like udp://192.0.2.5:514, tcp://logs.example.com:514 or unix:/dev/log", text)
	}
	return SyslogAddr{network, address}, nil
}

func (k *checker) log() {
	if l := &k.cfg.Log; l.Syslog != (SyslogAddr{}) && l.Output != LogSyslog {
		k.warn("log.syslog", "counts for output: syslog only")
	}
}
