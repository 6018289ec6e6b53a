package config

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// A Credential is the account by which a Kaspersky Security Center is called. It prints
// without its password.
type Credential struct{ User, Password string }

func (c Credential) String() string { return c.User + ":" + redacted }

// GoString is String, for %#v.
func (c Credential) GoString() string { return c.String() }

// LogValue is String, for logs.
func (c Credential) LogValue() slog.Value { return slog.StringValue(c.String()) }

// Bounds of a file of credentials.
const (
	maxCredentials = 64 << 10 // bytes of the file
	maxCredential  = 1024     // bytes of a name or a password
)

// readOwned returns the contents of a file with secrets, which must be its owner's alone.
func readOwned(path, secrets string, most int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("the file can not be read: %s", reason(err))
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, fmt.Errorf("the file can not be read: %s", reason(err))
	case !info.Mode().IsRegular():
		return nil, errors.New("is not a file")
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("others may read the %s (mode %#o): chmod 600 %s", secrets, info.Mode().Perm(), path)
	}
	text, err := io.ReadAll(io.LimitReader(f, int64(most)+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("the file can not be read: %s", reason(err))
	case len(text) > most:
		return nil, fmt.Errorf("has more than %d bytes", most)
	}
	return text, nil
}

// ReadCredentials reads the file of ksc-credentials and returns the account for each of
// urls, which are those of [Config]. The file must be its owner's alone. It maps URLs to
// a user and a password, and "default" to those for every URL that it does not name:
//
//	default:                    {user: gateway, password: …}
//	https://ksc-2.example:13299: {user: gateway, password: …}
//
// A URL that is not among urls is refused: it is a slip more often than a plan. The
// error names line and remedy, and shows nothing of the file that may be a password.
func ReadCredentials(path string, urls []string) (map[string]Credential, error) {
	text, err := readOwned(path, "passwords", maxCredentials)
	if err != nil {
		return nil, err
	}
	named, err := parseCredentials(text, urls)
	if err != nil {
		return nil, err
	}
	out := make(map[string]Credential, len(urls))
	for _, url := range urls {
		c, ok := named[url]
		if !ok {
			c, ok = named[defaultKey]
		}
		if !ok {
			return nil, fmt.Errorf("has no account for %s: add it, or %q for all that are not named", url, defaultKey)
		}
		out[url] = c
	}
	return out, nil
}

// defaultKey stands for every KSC that is not named.
const defaultKey = "default"

func parseCredentials(text []byte, urls []string) (map[string]Credential, error) {
	root, err := loadOne(text)
	var syntax *yaml.LoadError
	switch {
	case errors.Is(err, io.EOF):
		return nil, errors.New("is empty: want lines such as \"" + defaultKey + ": {user: NAME, password: PASSWORD}\"")
	case errors.As(err, &syntax):
		return nil, fmt.Errorf("line %d is not YAML", syntax.Mark.Line) // what the parser says may quote it
	case err != nil:
		return nil, errors.New("is not one YAML document")
	}
	if root.Kind == yaml.DocumentNode && len(root.Content) == 1 {
		root = root.Content[0]
	}
	if root.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("line %d: want lines such as \"%s: {user: NAME, password: PASSWORD}\"", root.Line, defaultKey)
	}
	named := map[string]Credential{}
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		name := key.Value
		if name != defaultKey {
			if name, err = kscURL(name); err != nil {
				return nil, fmt.Errorf("line %d: the key is neither %q nor the URL of a Kaspersky Security Center", key.Line, defaultKey)
			}
			if !slices.Contains(urls, name) {
				return nil, fmt.Errorf("line %d: %s is not among --ksc", key.Line, name)
			}
		}
		if _, ok := named[name]; ok {
			return nil, fmt.Errorf("line %d: %s stands there already", key.Line, name)
		}
		if named[name], err = parseCredential(name, value); err != nil {
			return nil, err
		}
	}
	return named, nil
}

func parseCredential(name string, value *yaml.Node) (c Credential, err error) {
	if value.Kind != yaml.MappingNode {
		return c, fmt.Errorf("line %d: %s needs a user and a password", value.Line, name)
	}
	fields := map[string]*string{"user": &c.User, "password": &c.Password}
	for i := 0; i+1 < len(value.Content); i += 2 {
		key, text := value.Content[i], value.Content[i+1]
		field, ok := fields[key.Value]
		switch {
		case !ok:
			return c, fmt.Errorf("line %d: %s has a key that is neither user nor password", key.Line, name)
		case *field != "":
			return c, fmt.Errorf("line %d: %s has two of %s", key.Line, name, key.Value)
		case text.Kind != yaml.ScalarNode || text.Tag == "!!null" || text.Value == "":
			return c, fmt.Errorf("line %d: the %s of %s is not a text: put it in quotes", text.Line, key.Value, name)
		case len(text.Value) > maxCredential:
			return c, fmt.Errorf("line %d: the %s of %s has more than %d bytes", text.Line, key.Value, name, maxCredential)
		}
		*field = text.Value
	}
	for _, field := range []string{"user", "password"} {
		if *fields[field] == "" {
			return c, fmt.Errorf("line %d: %s has no %s", value.Line, name, field)
		}
	}
	return c, nil
}

// maxAuthorities bounds a file of certificates, in bytes.
const maxAuthorities = 1 << 20

// ReadAuthorities returns the certificates of ksc-ca, in PEM: one or more, and nothing
// else but comments.
func ReadAuthorities(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("the file can not be read: %s", reason(err))
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxAuthorities+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("the file can not be read: %s", reason(err))
	case len(text) > maxAuthorities:
		return nil, fmt.Errorf("has more than %d bytes", maxAuthorities)
	}
	n := 0
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("has a %s; want certificates only", strings.ToLower(block.Type))
		}
		n++
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return nil, fmt.Errorf("certificate number %d is damaged", n)
		}
	}
	if n == 0 {
		return nil, errors.New("has no certificate in PEM form: that of a Kaspersky Security Center is 1093/cert/klserver.cer in its folder of data")
	}
	return text, nil
}
