package tlsconf

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/tlsconf/tlstest"
)

// A member is the TLS of a gateway of a cluster.
type member struct {
	*Files
	ring  [][]byte
	file  string // that changes with ring
	fault error
	addrs map[string]string // planes
}

// newMember starts the planes "agent", that asks for a certificate as auth says, and
// "admin".
func (s *site) newMember(auth ClientAuth, secrets ...string) *member {
	s.t.Helper()
	m := &member{Files: s.open(), file: filepath.Join(s.t.TempDir(), "ring"), addrs: map[string]string{}}
	m.rotate(s.t, secrets...)
	if len(secrets) > 0 {
		if err := m.Share(m.file, m.read); err != nil {
			s.t.Fatal(err)
		}
	}
	m.addrs["agent"] = listen(s.t, &Listener{TLS: m.Config("agent", auth)})
	m.addrs["admin"] = listen(s.t, &Listener{TLS: m.Config("admin", VerifyIfGiven)})
	return m
}

func (m *member) read() ([][]byte, error) { return m.ring, m.fault }

// rotate changes the secrets.
func (m *member) rotate(t *testing.T, secrets ...string) {
	t.Helper()
	m.ring = nil
	for _, s := range secrets {
		m.ring = append(m.ring, []byte(s))
	}
	text, _ := os.ReadFile(m.file)
	if err := os.WriteFile(m.file, append(text, '.'), 0o600); err != nil {
		t.Fatal(err)
	}
	m.poll()
}

// at gives the member the time.
func (m *member) at(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refreshLocked(now)
}

// resumes reports whether a session of a client is resumed; it has another one then.
func resumes(t *testing.T, addr string, c *tls.Config) bool {
	t.Helper()
	resumed, err := connect(addr, c)
	if err != nil {
		t.Fatal(err)
	}
	return resumed
}

func connect(addr string, c *tls.Config) (resumed bool, err error) {
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", addr, c)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	_, err = conn.Read(make([]byte, 1)) // with it come the tickets
	return conn.ConnectionState().DidResume, err
}

// newClient has no session yet.
func (s *site) newClient(leaf *tlstest.Leaf) *tls.Config {
	c := s.client(s.ca, leaf)
	c.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	return c
}

func TestSessionsAreResumedAtOtherGateways(t *testing.T) {
	s := newSite(t)
	one, two := s.newMember(NoClientCert, "ours", "older"), s.newMember(NoClientCert, "ours")
	other, alone := s.newMember(NoClientCert, "theirs"), s.newMember(NoClientCert)

	c := s.newClient(nil)
	for i, step := range []struct {
		of    *member
		plane string
		want  bool
	}{
		{one, "agent", false},
		{two, "agent", true},
		{one, "agent", true},
		{other, "agent", false},
		{one, "agent", false}, // with a ticket of the other
		{one, "admin", false},
		{two, "admin", true},
		{two, "agent", false}, // with a ticket for administrators
		{alone, "agent", false},
		{alone, "agent", true}, // by keys of its own
		{one, "agent", false},
	} {
		if got := resumes(t, step.of.addrs[step.plane], c); got != step.want {
			t.Errorf("step %d: resumed %v, want %v", i, got, step.want)
		}
	}
}

// A key comes to the gateways one after the other, and so it goes.
func TestTicketKeysRotate(t *testing.T) {
	s := newSite(t)
	one, two := s.newMember(NoClientCert, "a"), s.newMember(NoClientCert, "a")
	c := s.newClient(nil)
	resumes(t, one.addrs["agent"], c)
	for _, rings := range [][2][]string{
		{{"a", "b"}, {"a"}}, {{"a", "b"}, {"a", "b"}}, // added
		{{"b", "a"}, {"a", "b"}}, {{"b", "a"}, {"b", "a"}}, // used
		{{"b"}, {"b", "a"}}, {{"b"}, {"b"}}, // the old one removed
	} {
		one.rotate(t, rings[0]...)
		two.rotate(t, rings[1]...)
		for _, m := range []*member{two, one, two} {
			if !resumes(t, m.addrs["agent"], c) {
				t.Errorf("keys %v: not resumed", rings)
			}
		}
	}
	one.rotate(t, "c")
	if resumes(t, one.addrs["agent"], c) {
		t.Error("a ticket of a key that is gone is accepted")
	}

	one.fault = errors.New("unreadable")
	one.rotate(t, "d")
	if !resumes(t, one.addrs["agent"], c) {
		t.Error("the old keys are gone though the new ones can not be read")
	}
}

func TestTicketsAge(t *testing.T) {
	s := newSite(t)
	one, two := s.newMember(NoClientCert, "a"), s.newMember(NoClientCert, "a")
	start := time.Now().Truncate(ticketEpoch)
	for _, tt := range []struct {
		later time.Duration // of the second gateway's clock
		want  bool
	}{
		{0, true}, {ticketEpoch - 1, true}, {2*ticketEpoch - 1, true}, {2 * ticketEpoch, false}, {-1, true}, {-ticketEpoch - 1, false},
	} {
		c := s.newClient(nil)
		one.at(start)
		resumes(t, one.addrs["agent"], c)
		two.at(start.Add(tt.later))
		if got := resumes(t, two.addrs["agent"], c); got != tt.want {
			t.Errorf("%v later: resumed %v, want %v", tt.later, got, tt.want)
		}
	}
}

// A certificate is renewed, and sessions go on; an authority is taken away, and those of
// its clients do not.
func TestResumedSessionsAreVerified(t *testing.T) {
	s := newSite(t)
	one, two := s.newMember(Require, "a"), s.newMember(Require, "a")
	c := s.newClient(&tlstest.Leaf{})
	resumes(t, one.addrs["agent"], c)
	s.issue(tlstest.Leaf{Name: "second"})
	one.poll()
	two.poll()
	if !resumes(t, one.addrs["agent"], c) || !resumes(t, two.addrs["agent"], c) {
		t.Error("not resumed after the certificate was renewed")
	}

	ca, err := tlstest.NewAuthority("other")
	if err != nil {
		t.Fatal(err)
	}
	s.write(s.paths.ClientCA, string(ca.PEM))
	two.poll()
	if _, err := connect(two.addrs["agent"], c); err == nil {
		t.Error("a client whose authority is no longer accepted is let in")
	}
	stranger := s.newClient(nil)
	if _, err := connect(two.addrs["agent"], stranger); err == nil {
		t.Error("a client without certificate is let in")
	}
}

// Recorded sessions of TLS 1.2 could be read by who has the key of their ticket.
func TestOldSessionsAreNotShared(t *testing.T) {
	s := newSite(t)
	shared, alone := s.newMember(NoClientCert, "a"), s.newMember(NoClientCert)
	for _, m := range []*member{shared, alone} {
		c := s.newClient(nil)
		c.MaxVersion = tls.VersionTLS12
		resumes(t, m.addrs["agent"], c)
		if got, want := resumes(t, m.addrs["agent"], c), m == alone; got != want {
			t.Errorf("TLS 1.2 resumed %v, want %v", got, want)
		}
	}
}

func TestUnreadableKeysAreNotShared(t *testing.T) {
	f := newSite(t).open()
	fault := errors.New("unreadable")
	if err := f.Share("nowhere", func() ([][]byte, error) { return nil, fault }); !errors.Is(err, fault) {
		t.Errorf("Share = %v, want %v", err, fault)
	}
}
