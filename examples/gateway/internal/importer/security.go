package importer

import (
	"slices"
	"strconv"
)

func (m *importing) setInt(key string, n int) { m.set(key, strconv.Itoa(n)) }

// security sets how users prove themselves and what is encrypted. Without methods it is
// what the gateway does by itself.
func (m *importing) security(allowed []string, encryption string, no40, no128, stateful bool) {
	var list []string
	for _, method := range strength {
		if slices.Contains(allowed, method) {
			list = append(list, method)
		}
	}
	if len(list) == 0 {
		m.note(m.source, 0, "no method of authentication is required: auth_methods is ms-chapv2 alone")
		list = []string{"ms-chapv2"}
	}
	m.set("auth_methods", flow(list))
	if encryption == "" {
		encryption = "allow"
	}
	if no40 && no128 {
		encryption = "deny"
	}
	m.set("encryption", encryption)
	switch {
	case encryption == "deny":
		return
	case no40:
		m.set("mppe_key_lengths", "[128]")
	case no128:
		m.set("mppe_key_lengths", "[40]")
	default:
		m.set("mppe_key_lengths", "[128, 40]")
		m.note(m.source, 0, "mppe_key_lengths has 40 bits, as before, which can be searched through in no time: leave them out if no client needs them")
	}
	if stateful {
		m.set("mppe_modes", "[stateless, stateful]")
	}
	if encryption == "require" && !slices.Contains(list, "ms-chapv2") && !slices.Contains(list, "ms-chapv1") && !slices.Contains(list, "eap") {
		m.note(m.source, 0, "no method that is allowed gives the keys for encryption, which is required: ms-chapv2 is added")
		m.set("auth_methods", flow(append([]string{"ms-chapv2"}, list...)))
	}
}
