package daemon

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"io"
	"net/http"
	"os"
	"testing"

	"github.com/svmgate/svmgate/cluster"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/tlsconf/tlstest"
)

// keyText is a key of a cluster, as it stands in a file.
func keyText(b byte) string {
	return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, 32)) + "\n"
}

// Behind a balancer, a session goes on at whichever gateway a client meets; also after the
// cluster's keys were exchanged. Another cluster's gateway knows nothing of it.
func TestSessionsAreResumedInTheCluster(t *testing.T) {
	ca, err := tlstest.NewAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	member := func(name, key string, seeds ...*running) *running {
		dir := t.TempDir()
		if err := ca.Write(dir+"/c", dir+"/k", tlstest.Leaf{Name: name}); err != nil {
			t.Fatal(err)
		}
		return start(t, join(name, map[string]string{
			"tls-cert": dir + "/c", "tls-key": dir + "/k", "cluster-key-file": write(t, "keys", key), "sample": write(t, "s.json", sample),
		}, seeds...))
	}
	one := member("gw-1", keyText('a'))
	two := member("gw-2", keyText('a'), one)
	other := member("gw-3", keyText('b'))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.PEM)
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{
		RootCAs: roots, ServerName: "localhost", ClientSessionCache: tls.NewLRUClientSessionCache(1),
	}}}
	resumed := func(r *running) bool {
		t.Helper()
		resp, err := client.Get(r.plane("agent").url() + "/v1/agents/" + webBIOS + "/svm")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if text, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 {
			t.Errorf("%s: %s", resp.Status, text)
		}
		return resp.TLS.DidResume
	}
	if resumed(one) {
		t.Error("a first session is resumed")
	}
	if !resumed(two) || !resumed(one) {
		t.Error("a session is not resumed at the other gateway")
	}

	for _, change := range []struct {
		what cluster.KeyChange
		key  byte
	}{{cluster.AddKey, 'c'}, {cluster.UseKey, 'c'}, {cluster.RemoveKey, 'a'}} {
		if _, err := one.assembly.replica.ChangeKeys(t.Context(), change.what, bytes.Repeat([]byte{change.key}, 32)); err != nil {
			t.Fatal(err)
		}
		for _, r := range []*running{two, one} {
			if err := r.files.Reload(); err != nil { // sooner than by itself
				t.Fatal(err)
			}
			resumed(r)
		}
	}
	if text, err := os.ReadFile(two.settings.ClusterKeyFile); err != nil || !bytes.Contains(text, []byte(keyText('c'))) {
		t.Fatalf("the keys are %s, %v", text, err)
	}
	if !resumed(two) || !resumed(one) {
		t.Error("after the keys were exchanged a session is not resumed at the other gateway")
	}
	if resumed(other) {
		t.Error("a session is resumed in another cluster")
	}
}
