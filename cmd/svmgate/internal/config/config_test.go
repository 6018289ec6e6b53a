package config

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

func TestDefaults(t *testing.T) {
	got, err := Load(Input{Flags: map[string]string{"node-name": "n1"}})
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		AgentAddr: "127.0.0.1:7270", AdminAddr: "127.0.0.1:7271", OpsAddr: "127.0.0.1:7272",
		DataDir: "./svmgate-data", NodeName: "n1", DeadAddress: "192.0.2.1", SVMTTL: 15 * time.Minute, ReturnAfter: 10 * time.Minute,
		AgentAuth: "none", TokenOverlap: 24 * time.Hour, LicenseWarning: 720 * time.Hour, MaxConnections: 65536, MaxWaiting: 10_000, AdminMaxConnections: 256,
		ProtectionKeep: 400, EventsKeep: 720 * time.Hour, EventsMax: 1_000_000, EventStreams: 100, EventsBacklog: 100_000,
		ImportLimit: 1 << 30, KSCTimeout: 30 * time.Second, TombstoneKeep: 168 * time.Hour, ShutdownTimeout: 10 * time.Second, LogFormat: "text",
	}
	if diff := cmp.Diff(want, got.Config); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
	if len(got.Warnings) != 0 {
		t.Errorf("warnings: %q", got.Warnings)
	}
}

// Each setting is a flag, a variable and a key, in this order of strength.
func TestPrecedence(t *testing.T) {
	file := write(t, "agent-addr: 127.0.0.1:3\nadmin-addr: 127.0.0.1:33\nops-addr: 127.0.0.1:333\n")
	got, err := Load(Input{
		Flags: map[string]string{"agent-addr": "127.0.0.1:1"},
		Env:   []string{"SVMGATE_AGENT_ADDR=127.0.0.1:2", "SVMGATE_ADMIN_ADDR=127.0.0.1:22", "SVMGATE_CONFIG=" + file, "SVMGATE_SVM_TTL="},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][3]string{
		"agent-addr": {"127.0.0.1:1", "flag", "--agent-addr"},
		"admin-addr": {"127.0.0.1:22", "env", "SVMGATE_ADMIN_ADDR"},
		"ops-addr":   {"127.0.0.1:333", "file", "svmgate.yaml:3"},
		"svm-ttl":    {"15m", "default", ""},
	} {
		v := got.value(name)
		if have := [3]string{v.Text, string(v.Source), v.Where}; have != want {
			t.Errorf("%s = %q, want %q", name, have, want)
		}
	}
}

func TestEverySettingIsFlagVariableAndKey(t *testing.T) {
	cmd := &cobra.Command{}
	AddFlags(cmd)
	for i := range Table {
		s := &Table[i]
		if s.Help == "" || s.Allowed == "" {
			t.Errorf("%s lacks help or what is allowed", s.Name)
		}
		if got := cmd.Flags().Lookup(s.Name) != nil; got == s.EnvOnly {
			t.Errorf("%s: flag exists = %v", s.Name, got)
		}
		if _, ok := absent[s.Name]; ok {
			t.Errorf("%s is both there and absent", s.Name)
		}
		if s.EnvOnly {
			continue
		}
		value := s.Default
		if value == "" {
			value = `""`
		}
		if _, err := Load(Input{File: write(t, s.Name+": "+value)}); err != nil {
			t.Errorf("the default of %s is refused in a file: %v", s.Name, err)
		}
	}
}

func TestValues(t *testing.T) {
	got, err := Load(Input{Flags: map[string]string{
		"unregistered": "serve", "openstack-locality": "zone", "svm-ttl": " 90s ",
		"version-matrix": "12.0=6.0, 12.0=6.1,12.1.3=6.1", "import-limit": "2MiB", "log-level": "warn",
		"trusted-proxy": "10.0.0.0/8,::1,192.0.2.7", "dead-address": "2001:DB8::1", "ksc": "none", "ksc-timeout": "5s",
		"svm-probe": "tcp:9876", "return-after": "0s", "admission-rate": "0.5", "admission-burst": "20",
	}})
	if err != nil {
		t.Fatal(err)
	}
	v := func(major, minor uint16) store.ProductVersion {
		return store.ProductVersion{Major: major, Minor: minor}
	}
	want := discovery.Matrix{v(12, 0): {v(6, 0), v(6, 1)}, v(12, 1): {v(6, 1)}}
	if diff := cmp.Diff(want, got.Matrix); diff != "" {
		t.Errorf("matrix (-want +got):\n%s", diff)
	}
	if got.Unregistered != discovery.Serve || got.OpenStackLocality != store.PathZone || got.SVMTTL != 90*time.Second {
		t.Errorf("got %+v", got.Config)
	}
	if got.ImportLimit != 2<<20 || got.DeadAddress != "2001:db8::1" || got.LogLevel.String() != "WARN" {
		t.Errorf("got %+v", got.Config)
	}
	if got.SVMProbe != 9876 || got.ReturnAfter != 0 || got.AdmissionRate != 0.5 || got.AdmissionBurst != 20 {
		t.Errorf("got %+v", got.Config)
	}
	if !got.KSCNone || len(got.KSC) != 0 || got.KSCTimeout != 5*time.Second {
		t.Errorf("got %+v", got.Config)
	}
	var nets []string
	for _, p := range got.TrustedProxies {
		nets = append(nets, p.String())
	}
	if diff := cmp.Diff([]string{"10.0.0.0/8", "::1/128", "192.0.2.7/32"}, nets); diff != "" {
		t.Errorf("trusted-proxy (-want +got):\n%s", diff)
	}
}

func TestBadValuesNameKeyValueAndWhatIsAllowed(t *testing.T) {
	for name, values := range map[string][]string{
		"agent-addr":         {"", "7270", "127.0.0.1", "example.org:1", "127.0.0.1:99999", "127.0.0.1:http", "::1:5"},
		"data":               {""},
		"node-name":          {"a b", strings.Repeat("x", 64), "ä"},
		"unregistered":       {"", "maybe", "Deny"},
		"dead-address":       {"", "host.example", "192.0.2.256", "fe80::1%eth0"},
		"svm-ttl":            {"", "15", "1s", "-1m", "1000h"},
		"svm-probe":          {"9876", "tcp:", "tcp:0", "tcp:65536", "tcp:http", "udp:9876", "tcp:1:2", "tcp:+1"},
		"return-after":       {"", "10", "-1s", "25h"},
		"license-warning":    {"", "30", "-1s", "8785h"},
		"protection-reports": {"", "yes", "1"},
		"protection-keep":    {"", "0", "401", "30d"},
		"admission-rate":     {"", "-1", "0.001", "1000001", "NaN", "Inf", "ten"},
		"admission-burst":    {"", "-1", "1.5", "1000001"},
		"openstack-locality": {"ignore", "rack"},
		"version-matrix":     {"12.0", "12.0=", "=6.0", "a=b", "12.0:6.0"},
		"agent-auth":         {"basic"},
		"token-overlap":      {"721h"},
		"trusted-proxy":      {"10.0.0.1/8", "10.0.0.0/33", "proxy"},
		"insecure":           {"all", "agent;admin"},
		"ksc": {
			"ksc.example", "http://ksc.example:13299", "http://127.0.0.1:1", "https://", "https://:13299", "https://ksc.example:0",
			"https://ksc.example:65536", "https://ksc.example:x", "https://ksc.example/api", "https://ksc.example?x=1", "https://ksc.example?",
			"https://ksc.example#x", "none,https://ksc.example", "https://ksc.example,HTTPS://KSC.example:13299/", "None", "https://[::1",
		},
		"ksc-timeout":    {"", "30", "0s", "11m"},
		"events-keep":    {"", "59m", "8761h", "30"},
		"events-max":     {"", "999", "10000001", "all"},
		"event-streams":  {"", "0", "10001"},
		"events-log":     {"", "yes"},
		"events-backlog": {"", "99", "1000001"},
		"events-syslog": {
			"host", "udp:host", "udp://", "udp://:514", "udp://host:0", "udp://host:x", "http://host", "tcp://host/path", "tls://u@host", "tls://host?x",
			"unix://dev/log", "unix:///", "unix:", "udp://host#x", "udp://host:65536",
		},
		"max-connections":             {"0", "many", "9999999"},
		"max-connections-per-address": {"-1", "many", "9999999"},
		"max-waiting":                 {"-1", "many", "9999999"},
		"import-limit":                {"1", "1GB", "-1GiB", "9999999TiB", "GiB"},
		"shutdown-delay":              {"soon"},
		"log-level":                   {"loud"},
		"log-format":                  {"xml"},
	} {
		for _, value := range values {
			_, err := Load(Input{Flags: map[string]string{name: value}})
			var e *Error
			if !errors.As(err, &e) {
				t.Errorf("%s = %q is accepted (%v)", name, value, err)
				continue
			}
			s, _ := Lookup(name)
			text := err.Error()
			if !strings.HasPrefix(text, name+": ") || e.Value != value || !strings.Contains(text, s.Allowed) || !strings.Contains(text, "--"+name) {
				t.Errorf("%s = %q: the error lacks key, value, place or what is allowed: %s", name, value, text)
			}
		}
	}
}

func TestNothingIsAcceptedSilently(t *testing.T) {
	tests := []struct {
		name string
		in   Input
		says string
	}{
		{"unknown key", file(t, "data: x\nagent-adr: 127.0.0.1:1\n"),
			`agent-adr: "127.0.0.1:1" (svmgate.yaml:2): there is no such setting; did you mean agent-addr?`},
		{"unknown key that is like nothing", file(t, "colour: red\n"), `colour: "red" (svmgate.yaml:1): there is no such setting (`},
		{"doubled key", file(t, "data: x\n# y\ndata: z\n"), `data: "z" (svmgate.yaml:3): the key stands there already, at svmgate.yaml:1`},
		{"bad value in a file", file(t, "\nsvm-ttl: 5\n"), `svm-ttl: "5" (svmgate.yaml:2): want a duration`},
		{"missing value", file(t, "data:\n"), `data: "" (svmgate.yaml:1): the value is missing`},
		{"mapping for a value", file(t, "data:\n  dir: x\n"), `data: "…" (svmgate.yaml:1): want a directory`},
		{"list for a single value", file(t, "data: [a, b]\n"), `data: "…" (svmgate.yaml:1): want a directory`},
		{"list of lists", file(t, "insecure:\n- agent\n- [admin]\n"), `line 3 is not one value`},
		{"not YAML", file(t, "data: x\n  y: [\n"), `config: svmgate.yaml:2: this is not YAML`},
		{"two documents", file(t, "data: x\n---\ndata: y\n"), `config: svmgate.yaml: there is more than one`},
		{"no mapping", file(t, "- data\n"), `config: svmgate.yaml:1: want lines`},
		{"alias", file(t, "data: &a x\nnode-name: *a\n"), `node-name: "…" (svmgate.yaml:2)`},
		{"no such file", Input{File: "no/such.yaml"}, `config: "no/such.yaml": the file can not be read: no such file`},
		{"secret in a file", file(t, "admin-password: hunter2\n"), `set the environment variable SVMGATE_ADMIN_PASSWORD`},
		{"secret that is not allowed", Input{Env: []string{"SVMGATE_ADMIN_PASSWORD=hunter2" + strings.Repeat("x", 1024)}}, `admin-password: "(redacted)" (SVMGATE_ADMIN_PASSWORD): want 1 to 1024 bytes`},
		{"key of a part that is not there", file(t, "dns-addr: 0.0.0.0:53\n"), `dns-addr: "0.0.0.0:53" (svmgate.yaml:1): this release does not have`},
		{"a seed without a port", file(t, "cluster-addr: 127.0.0.1:1\ncluster-join: [gw-2]\n"), `cluster-join: "gw-2" (svmgate.yaml:2): "gw-2" is not an address; want addresses HOST:PORT`},
		{"told to connect to everywhere", file(t, "cluster-addr: 127.0.0.1:1\ncluster-advertise: 0.0.0.0:1\n"), `cluster-advertise: "0.0.0.0:1" (svmgate.yaml:2): want HOST:PORT with an IP address`},
		{"told to connect to any port", file(t, "cluster-addr: 127.0.0.1:1\ncluster-advertise: 10.0.0.1:0\n"), `cluster-advertise: "10.0.0.1:0"`},
		{"neither true nor false", file(t, "cluster-bootstrap: maybe\n"), `cluster-bootstrap: "maybe" (svmgate.yaml:1): want true or false`},
		{"flag of a part that is not there", Input{Flags: map[string]string{"dns-addr": ":53"}}, `dns-addr: ":53" (--dns-addr): this release does not have`},
		{"variable of a part that is not there", Input{Env: []string{"SVMGATE_DNS_ADDR=x"}}, `dns-addr: "x" (SVMGATE_DNS_ADDR): this release does not have`},
		{"password in a URL", Input{Flags: map[string]string{"ksc": "https://ksc.example,https://gate:hunter2,5/hunter2@ksc.example"}}, `ksc: "https://(redacted)@ksc.example" (--ksc): a name or a password does not belong into a URL`},
		{"user in a URL", Input{Flags: map[string]string{"ksc": "https://gate@ksc.example"}}, `give --ksc-credentials`},
		{"password in the URL of a webhook", Input{Flags: map[string]string{"events-webhook": "https://gate:hunter2@hook.example"}}, `events-webhook: "(redacted)" (--events-webhook): a name or a password does not belong into a URL`},
		{"bad URL of a webhook", Input{Flags: map[string]string{"events-webhook": "ftp://hook.example/hunter2"}}, `events-webhook: "(redacted)" (--events-webhook): want https://HOST`},
		{"no URL of a webhook", Input{Flags: map[string]string{"events-webhook": "https://hook example:x/hunter2"}}, `events-webhook: "(redacted)" (--events-webhook): want https://HOST`},
		{"bad value in a variable", Input{Env: []string{"SVMGATE_AGENT_AUTH=yes"}}, `agent-auth: "yes" (SVMGATE_AGENT_AUTH): want none, token or mtls`},
		{"two things at once", file(t, "svm-ttl: 5\ndata:\n"), "data: \"\" (svmgate.yaml:2): the value is missing: want a directory, or :memory: to keep nothing\nsvm-ttl:"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Load(tt.in)
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("Load:\n got %v\nwant %s", err, tt.says)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error has the secret: %v", err)
			}
		})
	}
}

func TestFileForms(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "comment": "# nothing\n", "separator": "---\n", "null": "null\n",
	} {
		if _, err := Load(file(t, text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	got, err := Load(file(t, "trusted-proxy:\n- 10.0.0.0/8\n- 192.0.2.1\ninsecure: agent, admin\n"))
	if err != nil {
		t.Fatal(err)
	}
	if len(got.TrustedProxies) != 2 || !cmp.Equal(got.Insecure, []string{"agent", "admin"}) {
		t.Errorf("lists = %v, %v", got.TrustedProxies, got.Insecure)
	}
}

func TestUnknownVariablesAreWarnings(t *testing.T) {
	got, err := Load(Input{Env: []string{
		"SVMGATE_AGENT_ADR=x", "SVMGATE_COLOUR=red",
		// Not ours to judge:
		"SVMGATE_USER=a", "SVMGATE_PASSWORD=b", "SVMGATE_VSPHERE_URL=c", "SVMGATE_PORT=tcp://10.0.0.1:7270",
		"SVMGATE_PORT_7270_TCP_ADDR=10.0.0.1", "SVMGATE_SERVICE_HOST=10.0.0.1", "PATH=/bin", "SVMGATE_CLUSTER_ADDR=",
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"the environment variable SVMGATE_AGENT_ADR is no setting and is ignored; did you mean SVMGATE_AGENT_ADDR?",
		"the environment variable SVMGATE_COLOUR is no setting and is ignored",
	}
	if diff := cmp.Diff(want, got.Warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func TestFlags(t *testing.T) {
	cmd := &cobra.Command{}
	f := AddFlags(cmd)
	if err := cmd.ParseFlags([]string{"--config", "x.yaml", "--insecure=agent", "--insecure", "admin", "--data", "d", "--cluster-bootstrap"}); err != nil {
		t.Fatal(err)
	}
	want := Input{File: "x.yaml", Flags: map[string]string{"insecure": "agent,admin", "data": "d", "cluster-bootstrap": "true"}}
	if diff := cmp.Diff(want, f.Input(nil)); diff != "" {
		t.Errorf("Input (-want +got):\n%s", diff)
	}
}

func TestPrint(t *testing.T) {
	e, err := Load(Input{Env: []string{"SVMGATE_ADMIN_PASSWORD= hunter2 ", "SVMGATE_DATA=/d", "SVMGATE_X=1"}})
	if err != nil {
		t.Fatal(err)
	}
	if e.AdminPassword != " hunter2 " {
		t.Errorf("the password was changed to %q", e.AdminPassword)
	}
	var table, asJSON strings.Builder
	if err := errors.Join(e.Print(&table, false), e.Print(&asJSON, true)); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(table.String()+asJSON.String(), "hunter2") {
		t.Errorf("a secret is printed:\n%s%s", &table, &asJSON)
	}
	for _, want := range []string{"SVMGATE_DATA", "(redacted)", "127.0.0.1:7270"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, &table)
		}
	}
	var got struct {
		Settings []struct{ Name, Value, Source, Where string }
		Warnings []string
	}
	if err := json.Unmarshal([]byte(asJSON.String()), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Settings) != len(Table) || len(got.Warnings) != 1 {
		t.Errorf("JSON has %d settings and %d warnings, want %d and 1", len(got.Settings), len(got.Warnings), len(Table))
	}
}

func file(t *testing.T, text string) Input {
	t.Helper()
	return Input{File: write(t, text)}
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "svmgate.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A command that needs one setting does not fail for another.
func TestFind(t *testing.T) {
	good := file(t, "data: /from/file\nsvm-ttl: nonsense\ncolour: red\n").File
	tests := []struct {
		name string
		in   Input
		want string
		from Source
	}{
		{"the default", Input{}, "./svmgate-data", FromDefault},
		{"a file", Input{File: good}, "/from/file", FromFile},
		{"a file that a variable names", Input{Env: []string{"SVMGATE_CONFIG=" + good}}, "/from/file", FromFile},
		{"a variable", Input{File: good, Env: []string{"SVMGATE_DATA=/from/env"}}, "/from/env", FromEnv},
		{"a flag", Input{Flags: map[string]string{"data": "/from/flag"}, Env: []string{"SVMGATE_DATA=/from/env"}}, "/from/flag", FromFlag},
	}
	for _, tt := range tests {
		if v, err := Find("data", tt.in); err != nil || v.Text != tt.want || v.Source != tt.from {
			t.Errorf("%s: %q from %s, %v; want %q from %s", tt.name, v.Text, v.Source, err, tt.want, tt.from)
		}
	}
	for _, in := range []Input{
		{Flags: map[string]string{"data": ""}}, {File: "nowhere"}, file(t, "data:\n"), file(t, "data: ["), file(t, "data: a\ndata: b\n"),
	} {
		if v, err := Find("data", in); err == nil {
			t.Errorf("%+v: %q, want an error", in, v.Text)
		}
	}
}
