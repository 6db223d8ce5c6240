package gopptp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/eap"
	"github.com/gopptp/gopptp/lcp"
	"github.com/gopptp/gopptp/memory"
	"github.com/gopptp/gopptp/ppp"
)

// Each method by itself, with and without the right password.
func TestAuthMethods(t *testing.T) {
	for _, m := range []ppp.AuthMethod{ppp.AuthPAP, ppp.AuthCHAPMD5, ppp.AuthMSCHAPv1, ppp.AuthMSCHAPv2, ppp.AuthEAP} {
		t.Run(m.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.users["alice"].Secret = ppp.Secret(password)
				var seen ppp.AuthMethod
				w.serve(func(c *gopptp.ServerConfig) {
					c.AuthMethods, c.Encryption = []ppp.AuthMethod{m}, gopptp.EncryptionPrefer
					inner := c.Authenticator
					c.Authenticator = gopptp.AuthenticatorFunc(func(ctx context.Context, req *gopptp.AuthRequest) (*gopptp.AuthResult, error) {
						seen = req.Method
						return inner.Authenticate(ctx, req)
					})
				})
				change := func(c *gopptp.ClientConfig) {
					c.AuthMethods, c.Encryption = []ppp.AuthMethod{m}, gopptp.EncryptionPrefer
				}
				s := w.dial(change)
				require.Equal(t, m, seen)
				if m == ppp.AuthPAP || m == ppp.AuthCHAPMD5 {
					require.Equal(t, "none", s.Encryption(), "there are no keys")
				} else {
					require.Equal(t, "MPPE 128-bit stateless", s.Encryption())
				}
				w.exchange(s, 3)

				_, err := w.tryDial(func(c *gopptp.ClientConfig) { change(c); c.Password = "guess" })
				requireCause(t, err, gopptp.CauseAuthentication, gopptp.StateAuthenticate)
				_, err = w.tryDial(func(c *gopptp.ClientConfig) { change(c); c.User = "mallory" })
				requireCause(t, err, gopptp.CauseAuthentication, gopptp.StateAuthenticate)
			})
		})
	}
}

// A method without keys cannot come to the encryption that a client requires.
func TestNoKeysNoEncryption(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.serve(func(c *gopptp.ServerConfig) {
			c.AuthMethods, c.Encryption = []ppp.AuthMethod{ppp.AuthPAP}, gopptp.EncryptionPrefer
		})
		_, err := w.tryDial(func(c *gopptp.ClientConfig) { c.AuthMethods = []ppp.AuthMethod{ppp.AuthPAP, ppp.AuthMSCHAPv2} })
		requireCause(t, err, gopptp.CauseEncryption, gopptp.StateNetwork)
	})
}

// LCP leads the two to what both can do, by the server's preference.
func TestAuthMethodIsNegotiated(t *testing.T) {
	for name, c := range map[string]struct {
		server, client []ppp.AuthMethod
		want           ppp.AuthMethod // zero: none
	}{
		"the server's first":      {[]ppp.AuthMethod{ppp.AuthMSCHAPv1, ppp.AuthMSCHAPv2}, []ppp.AuthMethod{ppp.AuthMSCHAPv2, ppp.AuthMSCHAPv1}, ppp.AuthMSCHAPv1},
		"the only one in common":  {[]ppp.AuthMethod{ppp.AuthMSCHAPv2, ppp.AuthMSCHAPv1, ppp.AuthPAP}, []ppp.AuthMethod{ppp.AuthCHAPMD5, ppp.AuthPAP}, ppp.AuthPAP},
		"the client's suggestion": {[]ppp.AuthMethod{ppp.AuthCHAPMD5, ppp.AuthMSCHAPv2}, []ppp.AuthMethod{ppp.AuthMSCHAPv2}, ppp.AuthMSCHAPv2},
		"nothing in common":       {[]ppp.AuthMethod{ppp.AuthMSCHAPv2}, []ppp.AuthMethod{ppp.AuthPAP, ppp.AuthCHAPMD5}, ppp.AuthMethod{}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				var seen ppp.AuthMethod
				var closed error
				server := w.serve(func(cfg *gopptp.ServerConfig) {
					cfg.AuthMethods, cfg.Encryption = c.server, gopptp.EncryptionPrefer
					cfg.Observer = gopptp.ObserverFunc(func(e gopptp.SessionEvent) {
						if e.State == gopptp.StateClosed {
							closed = e.Err
						}
					})
					inner := cfg.Authenticator
					cfg.Authenticator = gopptp.AuthenticatorFunc(func(ctx context.Context, req *gopptp.AuthRequest) (*gopptp.AuthResult, error) {
						seen = req.Method
						return inner.Authenticate(ctx, req)
					})
				})
				s, err := w.tryDial(func(cfg *gopptp.ClientConfig) {
					cfg.AuthMethods, cfg.Encryption = c.client, gopptp.EncryptionPrefer
				})
				if c.want == (ppp.AuthMethod{}) {
					require.Error(t, err)
					require.NoError(t, server.Shutdown(context.Background()))
					requireCause(t, closed, gopptp.CauseAuthentication, gopptp.StateEstablish)
					require.ErrorIs(t, closed, lcp.ErrAuthRefused)
					return
				}
				require.NoError(t, err)
				synctest.Wait()
				require.Equal(t, c.want, seen)
				w.exchange(s, 1)
			})
		})
	}
}

// A peer that is challenged again while packets flow goes on, until its account
// is taken away.
func TestReauthentication(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var again, fresh atomic.Int32
		server := w.serve(func(c *gopptp.ServerConfig) {
			c.Reauthenticate = time.Minute
			inner := c.Authenticator
			c.Authenticator = gopptp.AuthenticatorFunc(func(ctx context.Context, req *gopptp.AuthRequest) (*gopptp.AuthResult, error) {
				if req.Reauthentication {
					again.Add(1)
				} else {
					fresh.Add(1)
				}
				return inner.Authenticate(ctx, req)
			})
		})
		s := w.dial(nil)
		theirs := w.session(server)
		address := s.Local()
		for range 5 {
			time.Sleep(time.Minute)
			w.exchange(s, 2)
		}
		require.EqualValues(t, 1, fresh.Load())
		require.InDelta(t, 5, again.Load(), 1)
		require.Equal(t, address, s.Local())
		require.Equal(t, w.poolSize-1, w.pool.Free(), "one address, however often")

		w.edit("alice", func(u *gopptp.LocalUser) { u.NTHash = chap.NTPasswordHash("changed since") })
		<-theirs.Done()
		requireCause(t, theirs.Err(), gopptp.CauseAuthentication, gopptp.StateUp)
		<-s.Done()
		requireCause(t, s.Err(), gopptp.CauseAuthentication, gopptp.StateUp)
		synctest.Wait()
		require.Equal(t, w.poolSize, w.pool.Free())
	})
}

// Both ends prove themselves, with secrets of their own.
func TestMutualAuthentication(t *testing.T) {
	for _, m := range []ppp.AuthMethod{ppp.AuthMSCHAPv2, ppp.AuthEAP} {
		t.Run(m.String(), func(t *testing.T) { mutualAuthentication(t, m) })
	}
}

func mutualAuthentication(t *testing.T, m ppp.AuthMethod) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.serve(func(c *gopptp.ServerConfig) {
			c.AuthMethods = []ppp.AuthMethod{m}
			c.Credentials = &gopptp.Credentials{Name: "gateway", Password: "its own"}
		})
		judge := func(secret string) gopptp.Authenticator {
			return gopptp.NewLocalAuthenticator(func(_ context.Context, name string) (*gopptp.LocalUser, error) {
				if name != "gateway" {
					return nil, nil
				}
				return &gopptp.LocalUser{NTHash: chap.NTPasswordHash(secret)}, nil
			})
		}
		with := func(a gopptp.Authenticator) func(*gopptp.ClientConfig) {
			return func(c *gopptp.ClientConfig) { c.AuthMethods, c.Authenticator = []ppp.AuthMethod{m}, a }
		}
		s := w.dial(with(judge("its own")))
		w.exchange(s, 2)

		_, err := w.tryDial(with(judge("another")))
		requireCause(t, err, gopptp.CauseAuthentication, gopptp.StateAuthenticate)
		require.ErrorIs(t, err, gopptp.ErrBadCredentials)
	})
}

// A server without credentials does not prove itself.
func TestMutualAuthenticationRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.serve(nil)
		_, err := w.tryDial(func(c *gopptp.ClientConfig) {
			c.Authenticator = gopptp.AuthenticatorFunc(func(context.Context, *gopptp.AuthRequest) (*gopptp.AuthResult, error) {
				return &gopptp.AuthResult{}, nil
			})
		})
		requireCause(t, err, gopptp.CauseAuthentication, gopptp.StateEstablish)
		require.ErrorIs(t, err, lcp.ErrAuthRefused)
	})
}

// retrying lets users try again.
func retrying(inner gopptp.Authenticator) gopptp.Authenticator {
	return gopptp.AuthenticatorFunc(func(ctx context.Context, req *gopptp.AuthRequest) (*gopptp.AuthResult, error) {
		result, err := inner.Authenticate(ctx, req)
		if errors.Is(err, gopptp.ErrBadCredentials) {
			err = &gopptp.AuthError{Code: 691, Message: "Try again", Retry: true}
		}
		return result, err
	})
}

func TestAnotherPasswordIsTried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		server := w.serve(func(c *gopptp.ServerConfig) { c.Authenticator = retrying(c.Authenticator) })
		var asked atomic.Int32
		prompt := func(answers ...string) func(*gopptp.ClientConfig) {
			return func(c *gopptp.ClientConfig) {
				c.Password = "wrong"
				c.Prompt = func(_ context.Context, ask chap.CredentialsNeeded) (string, bool) {
					n := int(asked.Add(1))
					if !ask.Failure.Retry || ask.ChangePassword || ask.Failure.Message != "Try again" {
						t.Errorf("asked for %+v", ask)
					}
					time.Sleep(20 * time.Second) // to remember it
					if n > len(answers) {
						return "", false
					}
					return answers[n-1], true
				}
			}
		}
		s := w.dial(prompt("wrong too", password))
		require.EqualValues(t, 2, asked.Load())
		w.exchange(s, 2)

		asked.Store(0)
		_, err := w.tryDial(prompt("wrong too"))
		requireCause(t, err, gopptp.CauseAuthentication, gopptp.StateAuthenticate)
		var failure *chap.FailureError
		require.ErrorAs(t, err, &failure)
		synctest.Wait()
		require.Len(t, server.Sessions(), 1)
	})
}

func TestExpiredPasswordIsChanged(t *testing.T) {
	const newPassword = "battery staple"
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		alice := w.users["alice"]
		alice.Expired = true
		alice.ChangePassword = func(_ context.Context, change *chap.NewPassword) error {
			if string(change.Password) == "short" {
				return errors.New("too short")
			}
			w.edit("alice", func(u *gopptp.LocalUser) { u.NTHash, u.Expired = change.NTHash, false })
			return nil
		}
		w.serve(nil)
		with := func(answer string) func(*gopptp.ClientConfig) {
			return func(c *gopptp.ClientConfig) {
				c.Prompt = func(_ context.Context, ask chap.CredentialsNeeded) (string, bool) {
					if !ask.ChangePassword || ask.Failure.Code != chap.PasswordExpired {
						t.Errorf("asked for %+v", ask)
					}
					return answer, true
				}
			}
		}
		_, err := w.tryDial(nil)
		requireCause(t, err, gopptp.CauseAuthentication, gopptp.StateAuthenticate)
		_, err = w.tryDial(with("short"))
		require.Error(t, err)
		require.True(t, w.user("alice").Expired)

		s := w.dial(with(newPassword))
		w.exchange(s, 2)
		require.Equal(t, "MPPE 128-bit stateless", s.Encryption())
		_, err = w.tryDial(nil)
		requireCause(t, err, gopptp.CauseAuthentication, gopptp.StateAuthenticate)
		w.exchange(w.dial(func(c *gopptp.ClientConfig) { c.Password = newPassword }), 2)
	})
}

// An Authenticator that speaks EAP leads the exchange, round by round.
func TestEAPIsPassedThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var rounds []string
		w.serve(func(c *gopptp.ServerConfig) {
			c.AuthMethods, c.Encryption = []ppp.AuthMethod{ppp.AuthEAP}, gopptp.EncryptionPrefer
			c.Authenticator = gopptp.AuthenticatorFunc(func(_ context.Context, req *gopptp.AuthRequest) (*gopptp.AuthResult, error) {
				rounds = append(rounds, fmt.Sprintf("%s type %d state %v", req.Name, req.EAP[4], req.State))
				if req.State == nil {
					// An MD5-Challenge (RFC 2284 §3.4), as a server would send it.
					challenge := []byte{1, req.EAP[1] + 1, 0, 0, 4, 4, 1, 2, 3, 4}
					challenge[3] = byte(len(challenge))
					return &gopptp.AuthResult{Continue: true, EAP: challenge, State: "round 1"}, nil
				}
				want := chap.MD5Response(req.EAP[1], ppp.Secret(password), []byte{1, 2, 3, 4})
				if string(req.EAP[6:22]) != string(want[:]) {
					return nil, gopptp.ErrBadCredentials
				}
				return &gopptp.AuthResult{}, nil
			})
		})
		change := func(c *gopptp.ClientConfig) {
			c.AuthMethods, c.Encryption = []ppp.AuthMethod{ppp.AuthEAP}, gopptp.EncryptionPrefer
		}
		s := w.dial(change)
		w.exchange(s, 1)
		require.Equal(t, []string{"alice type 1 state <nil>", "alice type 4 state round 1"}, rounds)
		_, err := w.tryDial(func(c *gopptp.ClientConfig) { change(c); c.Password = "guess" })
		requireCause(t, err, gopptp.CauseAuthentication, gopptp.StateAuthenticate)
	})
}

var onlyEAP = []ppp.AuthMethod{ppp.AuthEAP}

// Each packet of EAP is lost once; so is nothing.
func TestEAPWithLosses(t *testing.T) {
	for lost := range 8 {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.serve(func(c *gopptp.ServerConfig) { c.AuthMethods, c.Name = onlyEAP, "vpn.example.com" })
			n, named := 0, false
			w.net.Filter(func(p memory.Packet) bool {
				frame := p.Frame()
				if protocol, _, err := ppp.DecodeFrame(frame); frame == nil || err != nil || protocol != ppp.ProtocolEAP {
					return true
				}
				n++
				named = named || bytes.Contains(frame, []byte("vpn.example.com"))
				return n-1 != lost
			})
			s := w.dial(func(c *gopptp.ClientConfig) { c.AuthMethods = onlyEAP })
			require.GreaterOrEqual(t, n, 7)
			require.True(t, named, "the challenge says whose it is")
			require.Equal(t, "MPPE 128-bit stateless", s.Encryption())
			w.exchange(s, 2)
		})
	}
}

// Whoever may not come in hears why, where the method has words for it.
func TestEAPRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		server := w.serve(func(c *gopptp.ServerConfig) { c.AuthMethods = onlyEAP })
		w.users["expired"] = &gopptp.LocalUser{NTHash: chap.NTPasswordHash(password), Expired: true}
		w.users["empty"] = new(gopptp.LocalUser)
		for _, c := range []struct {
			user, password string
			code           chap.ErrorCode
		}{
			{"alice", "guess", chap.AuthenticationFailure},
			{"mallory", password, chap.AuthenticationFailure},
			{"empty", "", chap.AuthenticationFailure},
			{"expired", password, chap.PasswordExpired},
			{"expired", "guess", chap.AuthenticationFailure},
		} {
			_, err := w.tryDial(func(cfg *gopptp.ClientConfig) {
				cfg.AuthMethods, cfg.User, cfg.Password = onlyEAP, c.user, c.password
			})
			requireCause(t, err, gopptp.CauseAuthentication, gopptp.StateAuthenticate)
			var failure *chap.FailureError
			require.ErrorAs(t, err, &failure, c.user)
			require.Equal(t, c.code, failure.Code, c.user)
		}
		synctest.Wait()
		require.EqualValues(t, 5, server.Stats().FailedAuthentication)
		require.Equal(t, w.poolSize, w.pool.Free())
	})
}

func TestEAPReauthentication(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		server := w.serve(func(c *gopptp.ServerConfig) { c.AuthMethods, c.Reauthenticate = onlyEAP, time.Minute })
		s := w.dial(func(c *gopptp.ClientConfig) { c.AuthMethods, c.User = onlyEAP, `CORP\alice` })
		theirs := w.session(server)
		require.Equal(t, `CORP\alice`, theirs.User())
		time.Sleep(30 * time.Second) // to be between two of them
		for range 3 {
			time.Sleep(time.Minute)
			w.exchange(s, 2)
		}
		w.edit("alice", func(u *gopptp.LocalUser) { u.NTHash = chap.NTPasswordHash("changed since") })
		<-theirs.Done()
		requireCause(t, theirs.Err(), gopptp.CauseAuthentication, gopptp.StateUp)
		<-s.Done()
	})
}

// tlsOnly is a method that begins, and that no client here has.
type tlsOnly struct{ eap.MD5Server }

func (*tlsOnly) Type() eap.Type { return eap.TypeTLS }

// A client that has another method only is led to it: here by its Nak, in a
// session.
func TestEAPNakInASession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		methods := eap.Server{Methods: []eap.ServerMethod{new(tlsOnly), new(eap.MD5Server)}}
		w.serve(func(c *gopptp.ServerConfig) {
			c.AuthMethods, c.Encryption = onlyEAP, gopptp.EncryptionPrefer
			c.Authenticator = gopptp.AuthenticatorFunc(func(_ context.Context, req *gopptp.AuthRequest) (*gopptp.AuthResult, error) {
				v := methods.Next(&req.AuthRequest, &eap.User{Secret: ppp.Secret(password)})
				if !v.Continue && !v.Accepted {
					return nil, gopptp.ErrBadCredentials
				}
				return &gopptp.AuthResult{Continue: v.Continue, EAP: v.EAP, State: v.State}, nil
			})
		})
		s := w.dial(func(c *gopptp.ClientConfig) { c.AuthMethods, c.Encryption = onlyEAP, gopptp.EncryptionPrefer })
		require.Equal(t, "none", s.Encryption(), "there are no keys")
		w.exchange(s, 2)
		_, err := w.tryDial(func(c *gopptp.ClientConfig) { c.AuthMethods = onlyEAP })
		requireCause(t, err, gopptp.CauseEncryption, gopptp.StateNetwork)
		_, err = w.tryDial(func(c *gopptp.ClientConfig) { c.AuthMethods, c.Password = onlyEAP, "guess" })
		requireCause(t, err, gopptp.CauseAuthentication, gopptp.StateAuthenticate)
	})
}

// One who is disabled hears so by every method, if it knows the password; one who guesses
// does not.
func TestLocalRefusal(t *testing.T) {
	for _, method := range []ppp.AuthMethod{ppp.AuthPAP, ppp.AuthCHAPMD5, ppp.AuthMSCHAPv1, ppp.AuthMSCHAPv2, ppp.AuthEAP} {
		t.Run(method.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				server := w.serve(func(c *gopptp.ServerConfig) {
					c.AuthMethods, c.Encryption = []ppp.AuthMethod{method}, gopptp.EncryptionPrefer
				})
				refusal := &gopptp.AuthError{Code: 647, Message: "Account disabled"}
				for _, name := range []string{"disabled", "both"} {
					w.users[name] = &gopptp.LocalUser{
						NTHash: chap.NTPasswordHash(password), Secret: ppp.Secret(password), Refusal: refusal, Expired: name == "both",
					}
				}
				dial := func(user, password string) error {
					_, err := w.tryDial(func(c *gopptp.ClientConfig) {
						c.AuthMethods, c.Encryption = []ppp.AuthMethod{method}, gopptp.EncryptionPrefer
						c.User, c.Password = user, password
					})
					requireCause(t, err, gopptp.CauseAuthentication, gopptp.StateAuthenticate)
					return err
				}
				for _, user := range []string{"disabled", "both"} {
					right, wrong := dial(user, password), dial(user, "guess")
					var failure *chap.FailureError
					switch method {
					case ppp.AuthPAP, ppp.AuthCHAPMD5: // have words, and no codes
						require.ErrorContains(t, right, "Account disabled")
						require.NotContains(t, wrong.Error(), "disabled")
					default:
						require.ErrorAs(t, right, &failure)
						require.Equal(t, chap.AccountDisabled, failure.Code)
						require.ErrorAs(t, wrong, &failure)
						require.Equal(t, chap.AuthenticationFailure, failure.Code)
					}
				}
				synctest.Wait()
				require.EqualValues(t, 4, server.Stats().FailedAuthentication)
				require.Equal(t, w.poolSize, w.pool.Free())
			})
		})
	}
}

// The local authenticator does MD5-Challenge with a peer that has nothing else,
// for a user whose password it knows.
func TestLocalAuthenticatorDoesEAPMD5(t *testing.T) {
	for _, c := range []struct {
		name, guess string
		user        *gopptp.LocalUser
		want        error
	}{
		{"right", password, &gopptp.LocalUser{Secret: ppp.Secret(password)}, nil},
		{"wrong", "guess", &gopptp.LocalUser{Secret: ppp.Secret(password)}, gopptp.ErrBadCredentials},
		{"a hash only", password, &gopptp.LocalUser{NTHash: chap.NTPasswordHash(password)}, gopptp.ErrBadCredentials},
		{"nothing", "", &gopptp.LocalUser{}, gopptp.ErrBadCredentials},
		{"nobody", password, nil, gopptp.ErrBadCredentials},
	} {
		t.Run(c.name, func(t *testing.T) {
			local := gopptp.NewLocalAuthenticator(func(context.Context, string) (*gopptp.LocalUser, error) { return c.user, nil })
			peer := eap.NewPeer(eap.PeerConfig{Name: "alice", Methods: []eap.Method{eap.NewMD5("alice", ppp.Secret(c.guess))}})
			var out ppp.Output
			response := []byte{2, 1, 0, 10, 1, 'a', 'l', 'i', 'c', 'e'}
			var state any
			for range 2 { // the beginning and the Nak
				result, err := local.Authenticate(t.Context(), &gopptp.AuthRequest{AuthRequest: ppp.AuthRequest{
					Method: ppp.AuthEAP, Name: "alice", State: state, EAP: response,
				}})
				require.NoError(t, err)
				require.True(t, result.Continue)
				out.Reset()
				peer.Input(result.EAP, time.Time{}, &out)
				response, state = out.At(0).Frame[2:], result.State
			}
			result, err := local.Authenticate(t.Context(), &gopptp.AuthRequest{AuthRequest: ppp.AuthRequest{
				Method: ppp.AuthEAP, Name: "alice", State: state, EAP: response,
			}})
			require.ErrorIs(t, err, c.want)
			if c.want == nil {
				require.Nil(t, result.Keys)
			}
		})
	}
}

// A user without a hash is not one whose hash is zero.
func TestNoHashIsNoWayIn(t *testing.T) {
	for _, m := range []ppp.AuthMethod{ppp.AuthMSCHAPv1, ppp.AuthMSCHAPv2, ppp.AuthEAP} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.users["alice"] = &gopptp.LocalUser{Secret: ppp.Secret(password)}
			w.serve(func(c *gopptp.ServerConfig) { c.AuthMethods = []ppp.AuthMethod{m} })
			_, err := w.tryDial(func(c *gopptp.ClientConfig) {
				c.AuthMethods, c.Password, c.NTHash = []ppp.AuthMethod{m}, "", new(chap.NTHash)
			})
			requireCause(t, err, gopptp.CauseAuthentication, gopptp.StateAuthenticate)
		})
	}
}
