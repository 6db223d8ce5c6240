//go:build windows || plan9

package logging

import (
	"errors"

	"github.com/gopptp/gopptp/examples/gateway/internal/config"
)

func openSyslog(config.SyslogAddr) (sink, error) {
	return nil, errors.New("log.output: there is no syslog on this system")
}
