// Package tlstest makes certificates for tests.
package tlstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"time"
)

// An Authority signs certificates.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	PEM  []byte // its own certificate
}

// NewAuthority returns a fresh authority.
func NewAuthority(name string) (*Authority, error) {
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign,
	}
	validity(template, time.Now().Add(time.Hour))
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &Authority{cert: cert, key: key, PEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}, nil
}

// A Leaf says what a certificate should be.
type Leaf struct {
	Name    string    // common name
	URI     string    // alternative name; empty: none
	Expires time.Time // zero: in an hour
}

// Issue returns a certificate for servers on loopback, and for clients, and its
// key, both in PEM.
func (a *Authority) Issue(leaf Leaf) (cert, key []byte, err error) {
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: leaf.Name},
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if leaf.URI != "" {
		u, err := url.Parse(leaf.URI)
		if err != nil {
			return nil, nil, err
		}
		template.URIs = []*url.URL{u}
	}
	if leaf.Expires.IsZero() {
		leaf.Expires = time.Now().Add(time.Hour)
	}
	validity(template, leaf.Expires)
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &private.PublicKey, a.key)
	if err != nil {
		return nil, nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), nil
}

// Write writes a fresh certificate and its key to two files, each in one step,
// as a tool that renews certificates does.
func (a *Authority) Write(certFile, keyFile string, leaf Leaf) error {
	cert, key, err := a.Issue(leaf)
	if err != nil {
		return err
	}
	if err := replace(keyFile, key); err != nil {
		return err
	}
	return replace(certFile, cert)
}

func replace(file string, text []byte) error {
	if err := os.WriteFile(file+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

func validity(c *x509.Certificate, notAfter time.Time) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		panic(err) // never fails
	}
	c.SerialNumber, c.NotBefore, c.NotAfter = serial, notAfter.Add(-48*time.Hour), notAfter
}
