package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// theSite runs for all tests; its addresses are fixed, so there can be only one.
var theSite *site

func TestMain(m *testing.M) {
	code := 1
	if s, err := newSite("", "."); err != nil {
		println("the site can not be made:", err.Error())
	} else {
		theSite = s
		if err := theSite.startGateways(); err != nil {
			println("the gateways do not start:", err.Error())
		} else if err := theSite.countAnswers(); err != nil {
			println(err.Error())
		} else {
			code = m.Run()
		}
		theSite.close()
	}
	os.Exit(code)
}

// countAnswers makes the site use the same configurations, but for where the proxies tell
// how many answers they have had.
func (s *site) countAnswers() error {
	for name, change := range map[string][2]string{
		"haproxy.cfg": {"global\n", "global\n    stats socket " + filepath.Join(s.dir, "haproxy.sock") + "\n"},
		"nginx.conf":  {"access_log off;", "log_format answers '$upstream_status'; access_log upstream.log answers;"},
	} {
		text, err := os.ReadFile(filepath.Join(s.configs, name))
		if err != nil {
			return err
		}
		changed := strings.Replace(string(text), change[0], change[1], 1)
		if changed == string(text) {
			return fmt.Errorf("%s has no %q", name, change[0])
		}
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(changed), 0o600); err != nil {
			return err
		}
	}
	s.configs = s.dir
	return nil
}

// through returns the proxies that are installed; a test without one is skipped.
func through(t *testing.T) []*process {
	t.Helper()
	if len(theSite.proxies) == 0 {
		if err := theSite.startProxies(t.Output()); err != nil {
			t.Fatal(err)
		}
	}
	if len(theSite.proxies) == 0 {
		t.Skip("neither haproxy nor nginx is installed")
	}
	return theSite.proxies
}

// Gateways are restarted one after the other, and no agent sees it.
func TestRollingRestart(t *testing.T) {
	var loads []*load
	for _, p := range through(t) {
		loads = append(loads, startLoad(p.name, p.addr, 300))
	}
	time.Sleep(500 * time.Millisecond)
	if err := theSite.restartAll(t.Output()); err != nil {
		t.Error(err)
	}
	for _, l := range loads {
		l.end()
		t.Logf("%s: %d questions, %d failed, the slowest took %v", l.name, l.asked, l.failed, l.slowest)
		if l.failed > 0 || l.asked < 500 {
			t.Errorf("%s: %d of %d questions failed: %q", l.name, l.failed, l.asked, l.reasons)
		}
	}
	if t.Failed() {
		for _, p := range append(theSite.gateways, theSite.proxies...) {
			text, _ := os.ReadFile(filepath.Clean(p.log))
			t.Logf("log of %s, its end:\n%s", p.name, text[max(0, len(text)-3000):])
		}
	}
}
