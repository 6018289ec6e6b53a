package viis

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/routing"
)

var (
	fenced  = regexp.MustCompile("(?s)```sh\n(.*?)```")
	example = regexp.MustCompile(`curl -u "\$ACCOUNT" (?:-X ([A-Z]+) )?"\$IS(/[^"]*)"(.*)`)
)

// TestPageHasEveryCall: the page has a line and an example of every call, and nothing
// that is no call.
func TestPageHasEveryCall(t *testing.T) {
	text, err := os.ReadFile("../../../../docs/integration-server.md")
	check(t, err)
	page := string(text)
	shown := map[*route]bool{}
	for _, block := range fenced.FindAllStringSubmatch(page, -1) {
		for _, m := range example.FindAllStringSubmatch(block[1], -1) {
			method, path, rest := m[1], m[2], m[3]
			if method == "" {
				method = "GET"
				if strings.Contains(block[1], path+`" -H 'Content-Type`) {
					method = "POST"
				}
			}
			path, _, _ = strings.Cut(path, "?")
			segments, _ := routing.Split([]byte(path))
			r, _, _ := routing.Find(routes, func(r *route) (string, routing.Pattern) { return r.method, r.pattern }, method, segments)
			if r == nil {
				t.Errorf("the page shows %s %s%s, which is no call", method, path, rest)
			}
			shown[r] = true
		}
	}
	for i := range routes {
		r := &routes[i]
		if line := "| `" + r.method + " " + string(r.pattern) + "` |"; !strings.Contains(page, line) {
			t.Errorf("the page has no line %s", line)
		}
		if !shown[r] {
			t.Errorf("the page has no example of %s %s", r.method, r.pattern)
		}
	}
}

// TestPageShowsGoodBodies: what the page sends is taken.
func TestPageShowsGoodBodies(t *testing.T) {
	text, err := os.ReadFile("../../../../docs/integration-server.md")
	check(t, err)
	page := string(text)
	_, tenant, _ := strings.Cut(page, "<<XML\n")
	tenant, _, _ = strings.Cut(tenant, "XML\n")
	tenant = regexp.MustCompile(`\$\(.*\)`).ReplaceAllString(tenant, "c2VjcmV0IQ==")
	if n, _, err := readTenant([]byte(tenant)); err != nil || n.Tenant.Name != "acme" || string(n.Password) != "secret!" {
		t.Errorf("%+v, %v, of %s", n, err, tenant)
	}
	_, vm, _ := strings.Cut(page, "-d '")
	vm, _, _ = strings.Cut(vm, "'")
	if v, err := readVM([]byte(vm)); err != nil || v.Name != "web-1" {
		t.Errorf("%+v, %v, of %s", v, err, vm)
	}
}
