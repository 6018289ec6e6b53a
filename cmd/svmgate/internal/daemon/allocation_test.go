//go:build !race

package daemon

import (
	"bytes"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/auth"
	"github.com/svmgate/svmgate/store"
)

// From socket to socket a question allocates nothing, whoever answers it: through all that
// a gateway puts between the two. (Under the race detector pools throw away at random.)
func TestNoAllocationFromSocketToSocket(t *testing.T) {
	r := start(t, map[string]string{"agent-auth": "token", "sample": write(t, "s.json", sample), "trusted-proxy": "10.0.0.0/8"})
	acme, _ := r.assembly.table.TenantByName("acme")
	token, sum := auth.NewToken()
	err := r.assembly.table.Update(func(tx *store.Tx) error {
		_, err := tx.SetToken(store.Token{Tenant: acme.ID, Current: sum})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	headers := " HTTP/1.1\r\nHost: gate:7270\r\nUser-Agent: agent/12.0\r\nAuthorization: Bearer " + token + "\r\n\r\n"
	for _, tt := range []struct{ name, target, want string }{
		{"before the server", "/v1/agents/" + webBIOS + "/svm?version=12.0&os=server&kind=linux&limit=3", "HTTP/1.1 200 "},
		{"by the server", "/v1/agents/%7B" + webBIOS + "%7D/svm?version=12%2E0&os=server", "HTTP/1.1 200 "},
		{"not registered", "/v1/agents/" + shopBIOS + "/svm", "HTTP/1.1 404 "},
		{"not registered, by the server", "/v1/agents/%7B" + shopBIOS + "%7D/svm", "HTTP/1.1 404 "},
	} {
		c, err := net.Dial("tcp", r.plane("agent").listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		request, answer := []byte("GET "+tt.target+headers), make([]byte, 8<<10)
		ask := func(n int) uint64 {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range n {
				c.SetDeadline(time.Now().Add(10 * time.Second))
				if _, err := c.Write(request); err != nil {
					t.Fatal(err)
				}
				if n, err := c.Read(answer); err != nil || !bytes.HasPrefix(answer[:n], []byte(tt.want)) {
					t.Fatalf("%s: %v, %q", tt.name, err, answer[:n])
				}
			}
			runtime.ReadMemStats(&after)
			return after.Mallocs - before.Mallocs
		}
		ask(100)
		// The rest of the gateway allocates meanwhile.
		const n = 2000
		if got := ask(n); got > n/20 {
			t.Errorf("%s: %d allocations in %d questions", tt.name, got, n)
		}
		c.Close()
	}
}
