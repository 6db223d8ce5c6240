package lcp

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/internal/ppptest"
	"github.com/gopptp/gopptp/ppp"
)

func TestRequest(t *testing.T) {
	magic := ppptest.Raw(optionMagic, 1, 2, 3, 4)
	for name, c := range map[string]struct {
		cfg  Config
		want ppp.Options
	}{
		"zero value": {Config{}, ppp.Options{magic, ppptest.Raw(optionPFC), ppptest.Raw(optionACFC)}},
		"server": {Config{MRU: 1460, PeerAuth: several}, ppp.Options{
			ppptest.Raw(optionMRU, 0x05, 0xb4), ppptest.Raw(optionAuth, 0xc2, 0x23, 0x81), magic, ppptest.Raw(optionPFC), ppptest.Raw(optionACFC),
		}},
		"PAP": {Config{PeerAuth: []ppp.AuthMethod{ppp.AuthPAP}}, ppp.Options{
			ppptest.Raw(optionAuth, 0xc0, 0x23), magic, ppptest.Raw(optionPFC), ppptest.Raw(optionACFC),
		}},
		"client": {Config{OwnAuth: v2Only, NoHeaderCompression: true}, ppp.Options{magic}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t, c.cfg)
			require.Equal(t, c.want, ppptest.Options(t, p.One(ppp.ConfigureRequest, p.Said())))
		})
	}
}

func TestZeroIsNoMagicNumber(t *testing.T) {
	p := newPeer(t, Config{Rand: func(b []byte) { clear(b) }})
	o, ok := ppptest.Options(t, p.One(ppp.ConfigureRequest, p.Said())).Get(optionMagic)
	require.True(t, ok)
	require.NotEqual(t, ppptest.Raw(optionMagic, 0, 0, 0, 0), o)
}

func TestJudge(t *testing.T) {
	type opts = ppp.Options
	var (
		v1   = ppptest.Raw(optionAuth, 0xc2, 0x23, 0x80)
		v2   = ppptest.Raw(optionAuth, 0xc2, 0x23, 0x81)
		md5  = ppptest.Raw(optionAuth, 0xc2, 0x23, 5)
		eap  = ppptest.Raw(optionAuth, 0xc2, 0x27)
		mag  = ppptest.Raw(optionMagic, 9, 9, 9, 9)
		next = ppptest.Raw(optionMagic, 1, 2, 3, 5) // what our Rand gives second
		pfc  = ppptest.Raw(optionPFC)
		acfc = ppptest.Raw(optionACFC)
	)
	ours := Config{OwnAuth: []ppp.AuthMethod{ppp.AuthMSCHAPv2, ppp.AuthCHAPMD5}}
	for name, c := range map[string]struct {
		cfg   Config
		req   opts
		code  ppp.Code
		reply opts // nil with an Ack: as requested
	}{
		"nothing":                {ours, nil, ppp.ConfigureAck, nil},
		"all that is known":      {ours, opts{encodeMRU(1400), ppptest.Raw(optionACCM, 0, 0, 0, 0), v2, mag, pfc, acfc}, ppp.ConfigureAck, nil},
		"any order":              {ours, opts{acfc, mag, encodeMRU(1400)}, ppp.ConfigureAck, nil},
		"the least unit":         {ours, opts{encodeMRU(MinMRU)}, ppp.ConfigureAck, nil},
		"the largest unit":       {ours, opts{encodeMRU(MaxMRU)}, ppp.ConfigureAck, nil},
		"unit too small":         {ours, opts{encodeMRU(MinMRU - 1)}, ppp.ConfigureNak, opts{encodeMRU(MinMRU)}},
		"unit of nothing":        {ours, opts{encodeMRU(0)}, ppp.ConfigureNak, opts{encodeMRU(MinMRU)}},
		"unit too large":         {ours, opts{ppptest.Raw(optionMRU, 0xff, 0xff)}, ppp.ConfigureNak, opts{encodeMRU(MaxMRU)}},
		"unit malformed":         {ours, opts{ppptest.Raw(optionMRU, 5)}, ppp.ConfigureNak, opts{encodeMRU(DefaultMRU)}},
		"any character map":      {ours, opts{ppptest.Raw(optionACCM, 0xff, 0xff, 0xff, 0xff)}, ppp.ConfigureAck, nil},
		"character map short":    {ours, opts{ppptest.Raw(optionACCM, 0)}, ppp.ConfigureNak, opts{ppptest.Raw(optionACCM, 0, 0, 0, 0)}},
		"second best method":     {ours, opts{md5}, ppp.ConfigureAck, nil},
		"other algorithm":        {ours, opts{v1}, ppp.ConfigureNak, opts{v2}},
		"other method":           {ours, opts{eap}, ppp.ConfigureNak, opts{v2}},
		"method cut short":       {ours, opts{ppptest.Raw(optionAuth, 0xc2)}, ppp.ConfigureNak, opts{v2}},
		"CHAP without algorithm": {ours, opts{ppptest.Raw(optionAuth, 0xc2, 0x23)}, ppp.ConfigureNak, opts{v2}},
		"CHAP with more":         {ours, opts{ppptest.Raw(optionAuth, 0xc2, 0x23, 0x81, 0)}, ppp.ConfigureNak, opts{v2}},
		"no method of ours":      {Config{}, opts{v2}, ppp.ConfigureReject, opts{v2}},
		"PAP with data":          {Config{OwnAuth: []ppp.AuthMethod{ppp.AuthPAP}}, opts{ppptest.Raw(optionAuth, 0xc0, 0x23, 1)}, ppp.ConfigureNak, opts{ppptest.Raw(optionAuth, 0xc0, 0x23)}},
		"magic number zero":      {ours, opts{ppptest.Raw(optionMagic, 0, 0, 0, 0)}, ppp.ConfigureNak, opts{next}},
		"magic number short":     {ours, opts{ppptest.Raw(optionMagic, 9, 9)}, ppp.ConfigureNak, opts{next}},
		"PFC with data":          {ours, opts{ppptest.Raw(optionPFC, 1)}, ppp.ConfigureNak, opts{pfc}},
		"ACFC with data":         {ours, opts{ppptest.Raw(optionACFC, 1)}, ppp.ConfigureNak, opts{acfc}},
		"no header compression":  {Config{NoHeaderCompression: true}, opts{pfc, mag, acfc}, ppp.ConfigureReject, opts{pfc, acfc}},
		"named twice":            {ours, opts{encodeMRU(1400), mag, encodeMRU(1300)}, ppp.ConfigureReject, opts{encodeMRU(1300)}},
		"several naks":           {ours, opts{encodeMRU(1), mag, eap}, ppp.ConfigureNak, opts{encodeMRU(MinMRU), v2}},
		"reject goes first":      {ours, opts{encodeMRU(1), ppptest.Raw(13, 6), eap}, ppp.ConfigureReject, opts{ppptest.Raw(13, 6)}},
		"all that Windows has": {
			ours,
			opts{
				encodeMRU(1400), ppptest.Raw(4, 0xc0, 0x25, 0, 0, 0, 1), mag, pfc, acfc, ppptest.Raw(13, 6), ppptest.Raw(0x0d, 6),
				ppptest.Raw(17, 6, 0x4e), ppptest.Raw(18), ppptest.Raw(19, 1, 2, 3), ppptest.Raw(23, 0, 1), ppptest.Raw(0),
			},
			ppp.ConfigureReject,
			opts{
				ppptest.Raw(4, 0xc0, 0x25, 0, 0, 0, 1), ppptest.Raw(13, 6), ppptest.Raw(0x0d, 6),
				ppptest.Raw(17, 6, 0x4e), ppptest.Raw(18), ppptest.Raw(19, 1, 2, 3), ppptest.Raw(23, 0, 1), ppptest.Raw(0),
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t, c.cfg)
			p.Said()
			got := p.One(c.code, p.SayOptions(ppp.ConfigureRequest, 0, c.req...)) // Windows begins with zero
			require.Zero(t, got.ID)
			if c.code == ppp.ConfigureAck {
				c.reply = c.req
			}
			require.Equal(t, c.reply.Append(nil), append([]byte(nil), got.Data...))
		})
	}
}

// Every option of the peer's that is unknown is rejected exactly as it came.
func TestUnknownOptionsAreRejected(t *testing.T) {
	for typ := range 256 {
		switch typ {
		case optionMRU, optionACCM, optionAuth, optionMagic, optionPFC, optionACFC:
			continue
		}
		p := newPeer(t, client())
		p.Said()
		o := ppptest.Raw(uint8(typ), 1, 2, 3)
		got := p.One(ppp.ConfigureReject, p.Request(encodeMRU(1400), o))
		require.Equal(t, ppp.Options{o}, ppptest.Options(t, got))
		p.One(ppp.ConfigureAck, p.Request(encodeMRU(1400)))
	}
}

// What was agreed on is what was acked last.
func TestTermsFollowTheAck(t *testing.T) {
	p := newPeer(t, client())
	p.Said()
	p.One(ppp.ConfigureAck, p.Request(encodeMRU(1400), encodeAuth(ppp.AuthMSCHAPv2), ppptest.Raw(optionPFC)))
	p.One(ppp.ConfigureReject, p.Request(encodeMRU(1200), ppptest.Raw(99)))
	p.One(ppp.ConfigureAck, p.Request(ppptest.Raw(optionACFC)))
	require.Equal(t, DefaultMRU, p.PeerMRU())
	require.Equal(t, ppp.AuthMethod{}, p.OwnAuth())
	require.Equal(t, ppp.HeaderCompression{AddressControl: true}, p.HeaderCompression())
}

func TestMRUNaked(t *testing.T) {
	for _, c := range []struct{ ours, nak, want int }{
		{1460, 1400, 1400},
		{1460, 1500, 0}, // everybody must be able to receive that, so it need not be named
		{1460, 1501, 1460},
		{4000, 2000, 2000},
		{1460, MinMRU, MinMRU},
		{1460, MinMRU - 1, 1460},
		{1460, 0, 1460},
	} {
		p := newPeer(t, Config{MRU: c.ours})
		req := p.One(ppp.ConfigureRequest, p.Said())
		got := p.One(ppp.ConfigureRequest, p.SayOptions(ppp.ConfigureNak, req.ID, encodeMRU(c.nak)))
		o, ok := ppptest.Options(t, got).Get(optionMRU)
		if c.want == 0 {
			require.False(t, ok, "%+v", c)
			continue
		}
		require.Equal(t, encodeMRU(c.want), o, "%+v", c)
	}
}

func TestNakedValuesThatMeanNothing(t *testing.T) {
	p := newPeer(t, Config{})
	req := p.One(ppp.ConfigureRequest, p.Said())
	got := p.One(ppp.ConfigureRequest, p.SayOptions(ppp.ConfigureNak, req.ID,
		ppptest.Raw(optionMRU), ppptest.Raw(optionAuth, 0xc0, 0x23), ppptest.Raw(optionACCM, 0, 0, 0, 0), ppptest.Raw(200, 1)))
	require.Equal(t, req.Data, got.Data, "the same again")
}

func TestPeerLeavesOutWhatWeWant(t *testing.T) {
	for _, code := range []ppp.Code{ppp.ConfigureNak, ppp.ConfigureReject} {
		p := newPeer(t, Config{})
		req := p.One(ppp.ConfigureRequest, p.Said())
		got := p.One(ppp.ConfigureRequest, p.SayOptions(code, req.ID, ppptest.Raw(optionPFC), ppptest.Raw(optionACFC)))
		require.Equal(t, ppp.Options{ppptest.Raw(optionMagic, 1, 2, 3, 4)}, ppptest.Options(t, got))
		p.Say(ppp.ConfigureAck, got.ID, got.Data)
		p.Request(ppptest.Raw(optionPFC), ppptest.Raw(optionACFC))
		require.True(t, p.Opened())
		require.Equal(t, ppp.HeaderCompression{Protocol: true, AddressControl: true}, p.HeaderCompression(),
			"the other direction is another matter")
	}
}

func TestMethodsAreTriedInOrder(t *testing.T) {
	v1 := encodeAuth(ppp.AuthMSCHAPv1)
	for name, c := range map[string]struct {
		naks []ppp.Option
		want []ppp.AuthMethod // asked for after each
		err  string
	}{
		"an unknown suggestion leads to the next": {
			[]ppp.Option{v1, v1}, []ppp.AuthMethod{ppp.AuthCHAPMD5, ppp.AuthPAP}, "",
		},
		"a known one leads there": {
			[]ppp.Option{encodeAuth(ppp.AuthPAP), encodeAuth(ppp.AuthCHAPMD5)}, []ppp.AuthMethod{ppp.AuthPAP, ppp.AuthCHAPMD5}, "",
		},
		"one that was refused does not": {
			[]ppp.Option{encodeAuth(ppp.AuthPAP), encodeAuth(ppp.AuthMSCHAPv2)}, []ppp.AuthMethod{ppp.AuthPAP, ppp.AuthCHAPMD5}, "",
		},
		"nonsense leads to the next": {
			[]ppp.Option{ppptest.Raw(optionAuth), ppptest.Raw(optionAuth, 0xc2, 0x23)}, []ppp.AuthMethod{ppp.AuthCHAPMD5, ppp.AuthPAP}, "",
		},
		"the same is not refused": {
			[]ppp.Option{encodeAuth(ppp.AuthMSCHAPv2), v1}, []ppp.AuthMethod{ppp.AuthMSCHAPv2, ppp.AuthCHAPMD5}, "",
		},
		"none is left": {
			[]ppp.Option{v1, v1, v1}, []ppp.AuthMethod{ppp.AuthCHAPMD5, ppp.AuthPAP}, "it offers MS-CHAPv1",
		},
		"none is left after nonsense": {
			[]ppp.Option{v1, v1, ppptest.Raw(optionAuth)}, []ppp.AuthMethod{ppp.AuthCHAPMD5, ppp.AuthPAP}, "it offers nothing that is known",
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t, Config{PeerAuth: several})
			req := p.One(ppp.ConfigureRequest, p.Said())
			for i, nak := range c.naks {
				got := p.SayOptions(ppp.ConfigureNak, req.ID, nak)
				require.NotEmpty(t, got)
				if i == len(c.want) {
					break
				}
				req = p.One(ppp.ConfigureRequest, got)
				o, _ := ppptest.Options(t, req).Get(optionAuth)
				require.Equal(t, encodeAuth(c.want[i]), o)
			}
			if c.err == "" {
				p.Say(ppp.ConfigureAck, req.ID, req.Data)
				require.Equal(t, c.want[len(c.want)-1], p.PeerAuth())
				return
			}
			require.ErrorIs(t, p.Err(), ErrAuthRefused)
			require.ErrorContains(t, p.Err(), c.err)
			require.Equal(t, ppp.Closing, p.State())
			p.Advance(10 * time.Second)
			require.NotZero(t, p.Sig&ppp.SignalFinished)
			require.Zero(t, p.Sig&ppp.SignalUp)
			require.ErrorIs(t, p.Err(), ErrAuthRefused, "it outlives the end")
		})
	}
}

func TestAuthenticationRejected(t *testing.T) {
	p := newPeer(t, Config{PeerAuth: several})
	req := p.One(ppp.ConfigureRequest, p.Said())
	got := p.SayOptions(ppp.ConfigureReject, req.ID, encodeAuth(ppp.AuthMSCHAPv2))
	require.Equal(t, ppp.TerminateRequest, got[len(got)-1].Code)
	require.ErrorIs(t, p.Err(), ErrAuthRefused)
	p.Say(ppp.TerminateAck, got[len(got)-1].ID, nil)
	require.NotZero(t, p.Sig&ppp.SignalFinished)
	require.Equal(t, ppp.Closed, p.State())
}

// A server does without a client that has no method of its own in common.
func TestNoCommonMethod(t *testing.T) {
	for name, own := range map[string][]ppp.AuthMethod{"none": nil, "another": {ppp.AuthEAP}} {
		t.Run(name, func(t *testing.T) {
			a, b := newSide(t, Config{PeerAuth: v2Only}), newSide(t, Config{OwnAuth: own})
			l := ppptest.NewLine(a.Side, b.Side)
			l.Begin()
			took := l.Run(time.Minute, func() bool { return a.Sig&ppp.SignalFinished != 0 })
			require.Less(t, took, time.Second)
			require.ErrorIs(t, a.Err(), ErrAuthRefused)
			require.False(t, b.Opened())
			require.ErrorIs(t, b.Err(), ppp.ErrTerminated)
		})
	}
}

// A peer that asks for nothing but what we refuse gets Rejects after Max-Failure.
func TestNakTurnsIntoReject(t *testing.T) {
	p := newPeer(t, client())
	p.Said()
	eap := encodeAuth(ppp.AuthEAP)
	for range ppp.DefaultMaxFailure {
		p.One(ppp.ConfigureNak, p.Request(eap))
	}
	got := p.One(ppp.ConfigureReject, p.Request(eap))
	require.Equal(t, ppp.Options{eap}, ppptest.Options(t, got))
	p.One(ppp.ConfigureAck, p.Request())
}

func TestOptionCodecs(t *testing.T) {
	for _, m := range []ppp.AuthMethod{ppp.AuthPAP, ppp.AuthEAP, ppp.AuthCHAPMD5, ppp.AuthMSCHAPv1, ppp.AuthMSCHAPv2} {
		got, ok := decodeAuth(encodeAuth(m))
		require.True(t, ok)
		require.Equal(t, m, got)
	}
	for _, data := range [][]byte{nil, {0xc2}, {0, 0}, {0xc2, 0x23}, {0xc2, 0x23, 5, 5}, {0xc0, 0x23, 0}} {
		_, ok := decodeAuth(ppptest.Raw(optionAuth, data...))
		require.False(t, ok, fmt.Sprintf("% x", data))
	}
	mru, ok := decodeMRU(encodeMRU(1460))
	require.True(t, ok)
	require.Equal(t, 1460, mru)
	magic, ok := decodeMagic(encodeMagic(0xdeadbeef))
	require.True(t, ok)
	require.Equal(t, uint32(0xdeadbeef), magic)
}
