package ksc

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"
)

// trust is whose certificates are good: those of authorities, the system's among them,
// and each that is pinned.
type trust struct {
	roots  *x509.CertPool
	pinned []*x509.Certificate
}

// newTrust trusts the system's authorities and what pemCerts has.
func newTrust(pemCerts []byte) (t trust, err error) {
	if t.roots, err = x509.SystemCertPool(); err != nil {
		return t, fmt.Errorf("ksc: %w", err)
	}
	for rest := pemCerts; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return t, fmt.Errorf("ksc: Config.CA has a block %q; want certificates only", block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return t, fmt.Errorf("ksc: Config.CA: %w", err)
		}
		t.roots.AddCert(cert)
		t.pinned = append(t.pinned, cert)
	}
	if len(bytes.TrimSpace(pemCerts)) > 0 && len(t.pinned) == 0 {
		return t, errors.New("ksc: Config.CA has no certificate in PEM")
	}
	return t, nil
}

// config is for connections to a host. What net/http would verify, verify does, for each
// connection: a certificate that is pinned needs to name no host.
func (t trust) config(host string) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			// Not state.ServerName, which is empty if the host is an address.
			return t.verify(state.PeerCertificates, host)
		},
	}
}

// verify checks the certificates that a host shows, its own first.
func (t trust) verify(shown []*x509.Certificate, host string) error {
	leaf := shown[0]
	if slices.ContainsFunc(t.pinned, leaf.Equal) {
		if now := time.Now(); now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
			return x509.CertificateInvalidError{Cert: leaf, Reason: x509.Expired, Detail: "the pinned certificate is out of date"}
		}
		return nil
	}
	others := x509.NewCertPool()
	for _, cert := range shown[1:] {
		others.AddCert(cert)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: t.roots, Intermediates: others, DNSName: host})
	return err
}
