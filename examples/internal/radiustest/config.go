package radiustest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

// configure writes the server's files.
func (s *Server) configure(cfg Config) error {
	if cfg.EAP == "" {
		cfg.EAP = "mschapv2"
	}
	var conf strings.Builder
	err := configuration.Execute(&conf, map[string]any{
		"Dir": s.Dir, "Auth": s.Auth, "Acct": s.Acct, "Secret": Secret,
		"Sign": !cfg.UnsignedReplies, "EAP": cfg.EAP,
	})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(s.Dir, "radiusd.conf"), []byte(conf.String()), 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.Dir, "users"), []byte(users(cfg.Users)), 0o600)
}

// users is the file of that name.
func users(list []User) string {
	var b strings.Builder
	for _, u := range list {
		var check []string
		if u.NTHash != "" {
			check = append(check, "NT-Password := 0x"+u.NTHash)
		} else {
			check = append(check, "Cleartext-Password := "+quote(u.Password))
		}
		check = append(check, u.Check...)
		fmt.Fprintf(&b, "%s %s\n", quote(u.Name), strings.Join(check, ", "))
		for i, r := range u.Reply {
			comma := ","
			if i == len(u.Reply)-1 {
				comma = ""
			}
			fmt.Fprintf(&b, "\t%s%s\n", r, comma)
		}
	}
	return b.String()
}

func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// configuration is all of radiusd.conf. A rejection is not held back, so that tests
// are quick.
var configuration = template.Must(template.New("radiusd.conf").Parse(`
name = radiustest
prefix = /usr
logdir = {{.Dir}}
run_dir = {{.Dir}}
libdir = /usr/lib/freeradius
pidfile = {{.Dir}}/pid
max_request_time = 10
max_requests = 16384
cleanup_delay = 2
hostname_lookups = no
proxy_requests = no
security {
	reject_delay = 0
	status_server = yes
}
thread pool {
	start_servers = 2
	max_servers = 8
	min_spare_servers = 1
	max_spare_servers = 3
}
client loopback {
	ipaddr = 127.0.0.0/8
	proto = *
	secret = {{.Secret}}
	require_message_authenticator = yes
}
modules {
	files {
		filename = {{.Dir}}/users
		usersfile = {{.Dir}}/users
	}
	pap {
	}
	chap {
	}
	mschap {
		use_mppe = yes
		require_encryption = no
		require_strong = yes
		with_ntdomain_hack = yes
		allow_retry = yes
	}
	eap {
		default_eap_type = {{.EAP}}
		timer_expire = 60
		max_sessions = 1024
		md5 {
		}
		mschapv2 {
		}
		{{- if eq .EAP "tls"}}
		tls-config certificates {
			ca_file = {{.Dir}}/ca.pem
			certificate_file = {{.Dir}}/server.pem
			private_key_file = {{.Dir}}/server.key
			check_cert_cn = %{User-Name}
			tls_min_version = "1.2"
			tls_max_version = "1.2"
			ecdh_curve = ""
			fragment_size = 400
		}
		tls {
			tls = certificates
		}
		{{- end}}
	}
	expr {
	}
	expiration {
	}
	logintime {
		minimum_timeout = 60
	}
	detail accounting_log {
		filename = {{.Dir}}/acct.detail
		permissions = 0600
		header = "%t"
		locking = no
	}
	detail access_log {
		filename = {{.Dir}}/auth.detail
		permissions = 0600
		header = "%t"
		locking = no
	}
}
server default {
	listen {
		type = auth
		ipaddr = {{.Auth.Addr}}
		port = {{.Auth.Port}}
	}
	listen {
		type = acct
		ipaddr = {{.Acct.Addr}}
		port = {{.Acct.Port}}
	}
	authorize {
		access_log
		files
		chap
		mschap
		eap {
			ok = return
		}
		expiration
		logintime
		pap
	}
	authenticate {
		Auth-Type PAP {
			pap
		}
		Auth-Type CHAP {
			chap
		}
		Auth-Type MS-CHAP {
			mschap
		}
		eap
	}
	accounting {
		accounting_log
	}
	post-auth {
		{{- if .Sign}}
		update reply {
			Message-Authenticator := 0x00
		}
		{{- end}}
		Post-Auth-Type REJECT {
			{{- if .Sign}}
			update reply {
				Message-Authenticator := 0x00
			}
			{{- end}}
		}
		Post-Auth-Type Challenge {
			{{- if .Sign}}
			update reply {
				Message-Authenticator := 0x00
			}
			{{- end}}
		}
	}
}
`))
