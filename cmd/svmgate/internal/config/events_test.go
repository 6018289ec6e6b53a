package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhereEventsGo(t *testing.T) {
	for given, want := range map[string]SyslogServer{
		"udp://logs.example": {"udp", "logs.example:514"}, "udp://10.0.0.9:5514": {"udp", "10.0.0.9:5514"},
		"tcp://logs.example/": {"tcp", "logs.example:601"}, "tls://[2001:db8::1]": {"tls", "[2001:db8::1]:6514"},
		"unix:///dev/log": {"unix", "/dev/log"}, "UDP://logs": {"udp", "logs:514"},
	} {
		got, err := Load(Input{Flags: map[string]string{"events-syslog": given}})
		if err != nil || got.EventsSyslog != want {
			t.Errorf("%s: %+v, %v; want %+v", given, got, err, want)
		}
	}
	const url = "https://hook.example:8443/a/b?token=x"
	got, err := Load(Input{Flags: map[string]string{"events-webhook": " " + url + "\n", "events-log": "true", "events-file": "/var/log/e"}})
	if err != nil || got.EventsWebhook != url || !got.EventsLog || got.EventsFile != "/var/log/e" {
		t.Errorf("%+v, %v", got, err)
	}
	var shown strings.Builder
	if err := got.Print(&shown, false); err != nil || strings.Contains(shown.String(), "token=x") {
		t.Errorf("shown: %s (%v)", shown.String(), err)
	}
}

func TestReadSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	const secret = "0123456789abcdef"
	for text, says := range map[string]string{
		secret: "", secret + "\r\n": "", strings.Repeat("x", 1024) + "\n": "",
		"": "has 0 bytes", secret[1:] + "\n": "has 15 bytes", strings.Repeat("x", 1025): "has 1025 bytes", strings.Repeat("x", 2000): "want a secret of 16 to 1024",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := ReadSecret(path)
		if says == "" && (err != nil || string(got) != strings.TrimSpace(text)) {
			t.Errorf("%d bytes: %q, %v", len(text), got, err)
		}
		if says != "" && (err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "0123")) {
			t.Errorf("%d bytes: %v, want %s", len(text), err, says)
		}
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	for name, says := range map[string]string{path: "chmod 600", filepath.Dir(path): "is not a file", path + "2": "no such file"} {
		if _, err := ReadSecret(name); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %s", name, err, says)
		}
	}
}
