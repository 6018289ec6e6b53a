package config

import (
	"encoding/pem"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/tlsconf/tlstest"
)

func TestKSCHasOneForm(t *testing.T) {
	got, err := Load(Input{Flags: map[string]string{
		"ksc": "HTTPS://Ksc-1.Example, https://ksc-2.example:443/,https://[2001:DB8::1],https://10.0.0.9:13299", "ksc-credentials": "f",
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"https://ksc-1.example:13299", "https://ksc-2.example:443", "https://[2001:db8::1]:13299", "https://10.0.0.9:13299"}
	if diff := cmp.Diff(want, got.KSC); diff != "" || got.KSCNone {
		t.Errorf("KSC (-want +got):\n%s", diff)
	}
}

func TestReadCredentials(t *testing.T) {
	const first, second = "https://ksc-1.example:13299", "https://ksc-2.example:13299"
	path := write(t, "# how the gateways log in\ndefault: {user: gate, password: 'a: b # c '}\nHTTPS://ksc-2.Example:\n  user: other\n  password: 0123\n")
	got, err := ReadCredentials(path, []string{first, second})
	want := map[string]Credential{first: {"gate", "a: b # c "}, second: {"other", "0123"}}
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	if got, err := ReadCredentials(path, []string{second}); err != nil || len(got) != 1 {
		t.Errorf("one of them: %q, %v", got, err)
	}
}

// What is wrong with a file of credentials is said with its line, and no password with
// it, wherever in the file it may be.
func TestReadCredentialsRefuses(t *testing.T) {
	const url = "https://ksc-1.example:13299"
	const good = "default: {user: gate, password: hunter2}\n"
	for _, tt := range []struct {
		name, text string
		mode       os.FileMode
		says       string
	}{
		{"readable by others", good, 0o640, "mode 0640): chmod 600 "},
		{"nothing", "# none\n", 0o600, "is empty: want lines such as"},
		{"no account for a URL", "{}\n", 0o600, "has no account for " + url + ": add it, or \"default\""},
		{"a list", "- hunter2\n", 0o600, "line 1: want lines such as"},
		{"a mere text", "hunter2\n", 0o600, "line 1: want lines such as"},
		{"not YAML", good + "'hunter2\n", 0o600, "line 3 is not YAML"},
		{"two documents", good + "---\n" + good, 0o600, "is not one YAML document"},
		{"a KSC that is not called", good + "https://ksc-3.example: {user: a, password: hunter2}\n", 0o600, "line 2: https://ksc-3.example:13299 is not among --ksc"},
		{"neither default nor a URL", good + "hunter2: {user: a, password: b}\n", 0o600, "line 2: the key is neither \"default\" nor the URL"},
		{"a password in a URL", good + "https://gate:hunter2@ksc-1.example: {user: a, password: b}\n", 0o600, "line 2: the key is neither"},
		{"the same twice", good + good, 0o600, "line 2: default stands there already"},
		{"the same URL in two forms", url + ": {user: a, password: b}\nhttps://KSC-1.example: {user: a, password: hunter2}\n", 0o600, "line 2: " + url + " stands there already"},
		{"a password alone", "default: hunter2\n", 0o600, "line 1: default needs a user and a password"},
		{"an unknown key", "default:\n  user: gate\n  hunter2: x\n", 0o600, "line 3: default has a key that is neither user nor password"},
		{"two passwords", "default: {user: a, password: hunter2, password: hunter2}\n", 0o600, "line 1: default has two of password"},
		{"no user", "default: {password: hunter2}\n", 0o600, "line 1: default has no user"},
		{"no password", "default:\n  user: gate\n", 0o600, "line 2: default has no password"},
		{"a password that is none", "default: {user: gate, password: ~}\n", 0o600, "line 1: the password of default is not a text: put it in quotes"},
		{"a password that is empty", "default: {user: gate, password: ''}\n", 0o600, "the password of default is not a text"},
		{"a password in brackets", "default: {user: gate, password: {hunter2: x}}\n", 0o600, "the password of default is not a text: put it in quotes"},
		{"an alias", "default: &a {user: gate, password: hunter2}\n" + url + ": *a\n", 0o600, "line 2: " + url + " needs a user and a password"},
		{"a long password", "default: {user: a, password: " + strings.Repeat("hunter2", 147) + "}\n", 0o600, "line 1: the password of default has more than 1024 bytes"},
		{"a long file", good + "#" + strings.Repeat("x", maxCredentials), 0o600, "has more than 65536 bytes"},
	} {
		path := write(t, tt.text)
		if err := os.Chmod(path, tt.mode); err != nil {
			t.Fatal(err)
		}
		got, err := ReadCredentials(path, []string{url})
		if err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, %v; want %q", tt.name, got, err, tt.says)
		}
	}
	for _, path := range []string{t.TempDir(), filepath.Join(t.TempDir(), "none")} {
		if _, err := ReadCredentials(path, nil); err == nil {
			t.Errorf("%s is read", path)
		}
	}
}

func TestCredentialsPrintNoPassword(t *testing.T) {
	c := Credential{"gate", "hunter2"}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "account", c)
	for _, got := range []string{fmt.Sprint(c), fmt.Sprintf("%+v %#v %q", c, c, c), fmt.Sprint([]Credential{c}), log.String()} {
		if strings.Contains(got, "hunter2") || !strings.Contains(got, "gate") {
			t.Errorf("it prints %s", got)
		}
	}
}

func TestReadAuthorities(t *testing.T) {
	ca, err := tlstest.NewAuthority("a KSC")
	if err != nil {
		t.Fatal(err)
	}
	_, key, err := ca.Issue(tlstest.Leaf{Name: "a KSC"})
	if err != nil {
		t.Fatal(err)
	}
	good := "a comment\n" + string(ca.PEM) + string(ca.PEM)
	if got, err := ReadAuthorities(write(t, good)); err != nil || string(got) != good {
		t.Errorf("the authorities are not read: %q, %v", got, err)
	}
	damaged := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("hunter2")})
	for _, tt := range []struct{ path, says string }{
		{write(t, "hello\n"), "klserver.cer"},
		{write(t, good+string(key)), "has a private key; want certificates only"},
		{write(t, string(ca.PEM)+string(damaged)), "certificate number 2 is damaged"},
		{write(t, good+strings.Repeat("#", maxAuthorities)), "has more than"},
		{filepath.Join(t.TempDir(), "none"), "no such file"},
		{t.TempDir(), "is a directory"},
	} {
		if _, err := ReadAuthorities(tt.path); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%v, want %q", err, tt.says)
		}
	}
}
