package agentapi

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"log/slog"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp/fasthttputil"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/fence"
	"github.com/svmgate/svmgate/store"
)

// An authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{cert, key}
}

// certify returns a certificate with the URIs.
func (a authority) certify(t *testing.T, uris ...string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"gate"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	for _, text := range uris {
		uri, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		template.URIs = append(template.URIs, uri)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestCertificates(t *testing.T) {
	a := newAPI(t, newTable(t), Config{Auth: MTLS})
	ca := newAuthority(t)
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	uri := func(tenant [16]byte) string { return "svmgate:tenant:" + store.TenantID(tenant).String() }

	verified, unverified := tls.VerifyClientCertIfGiven, tls.RequestClientCert
	tests := []struct {
		name   string
		verify tls.ClientAuthType
		uris   []string // nil: no certificate
		vm     string
		status int
	}{
		{"own VM", verified, []string{uri(id(acme))}, vmOf(acme), 200},
		{"own VM, inactive tenant", verified, []string{uri(id(idle))}, vmOf(idle), 200},
		{"other URIs beside it", verified, []string{"https://example.net/x", uri(id(acme)), "svmgate:node:1"}, vmOf(acme), 200},
		{"another tenant's VM", verified, []string{uri(id(acme))}, vmOf(simple), 404},
		{"unknown VM", verified, []string{uri(id(acme))}, stranger, 404},
		{"tenant that is not in the table", verified, []string{uri(id(999))}, vmOf(acme), 404},
		{"no certificate", verified, nil, vmOf(acme), 401},
		{"certificate that nobody verified", unverified, []string{uri(id(acme))}, vmOf(acme), 401},
		{"no URI", verified, []string{}, vmOf(acme), 401},
		{"two tenants", verified, []string{uri(id(acme)), uri(id(simple))}, vmOf(acme), 401},
		{"no UUID", verified, []string{"svmgate:tenant:acme"}, vmOf(acme), 401},
		{"the id of VMs without tenant", verified, []string{uri([16]byte{})}, vmOf(acme), 401},
		{"another scheme", verified, []string{"other:tenant:" + store.TenantID(id(acme)).String()}, vmOf(acme), 401},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := fasthttputil.NewInmemoryListener()
			s := fence.Server("agent", a.Handler, slog.New(slog.DiscardHandler))
			done := make(chan error, 1)
			go func() {
				done <- s.Serve(tls.NewListener(l, &tls.Config{
					Certificates: []tls.Certificate{ca.certify(t)}, ClientCAs: roots, ClientAuth: tt.verify,
				}))
			}()
			defer func() {
				l.Close()
				<-done
			}()
			cfg := &tls.Config{RootCAs: roots, ServerName: "gate"}
			if tt.uris != nil {
				cfg.Certificates = []tls.Certificate{ca.certify(t, tt.uris...)}
			}
			conn, err := l.Dial()
			if err != nil {
				t.Fatal(err)
			}
			client := tls.Client(conn, cfg)
			defer client.Close()
			res, body := exchange(t, client, get("/v1/agents/"+tt.vm+"/svm"))
			if res.StatusCode != tt.status {
				t.Errorf("got %d %s, want %d", res.StatusCode, body, tt.status)
			}
			if tt.status == 401 && !strings.Contains(body, "svmgate:tenant:{id}") {
				t.Errorf("the answer does not say what is missing: %s", body)
			}
		})
	}

	t.Run("without TLS", func(t *testing.T) {
		if got := call(a.Handler, "GET", "/v1/agents/"+vmOf(acme)+"/svm", "").Response.StatusCode(); got != 401 {
			t.Errorf("got %d, want 401", got)
		}
	})
}
