package gopptp

import (
	"time"

	"github.com/gopptp/gopptp/ppp"
)

// CloseNetwork ends one network protocol of s, or CCP, by a Terminate-Request, and OpenNetwork
// begins it anew, as an administrator of its end might. Nothing in this package
// does.
func (s *Session) CloseNetwork(p ppp.Protocol) { s.withNetwork(p, ppp.Layer.Close) }

func (s *Session) OpenNetwork(p ppp.Protocol) { s.withNetwork(p, ppp.Layer.Open) }

func (s *Session) withNetwork(p ppp.Protocol, f func(ppp.Layer, time.Time, *ppp.Output) ppp.Signal) {
	s.post(func(now time.Time) {
		layer := ppp.Layer(s.link.ipcp)
		switch p {
		case ppp.ProtocolIPV6CP:
			layer = s.link.ipv6.ncp
		case ppp.ProtocolCCP:
			layer = s.link.ccp
		}
		s.run(now, func(out *ppp.Output) {
			if f(layer, now, out)&ppp.SignalDown != 0 {
				out.Emit(ppp.LayerDown{Protocol: p}) // as ppp.Link does
			}
		})
	})
}
