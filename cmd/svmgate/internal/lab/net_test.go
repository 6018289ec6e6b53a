package lab

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var long = flag.Bool("lab.long", false, "long cuts, many gateways, large tables")

const (
	insideKey  = "SVMGATE_LAB_INSIDE"
	programKey = "SVMGATE_LAB_PROGRAM"
)

// TestMain builds the gateway, once for all tests.
func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if os.Getenv(insideKey) != "" || os.Getenv(programKey) != "" || len(missing()) > 0 {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "lab")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "svmgate")
	if out, err := exec.Command("go", "build", "-o", program, "github.com/svmgate/svmgate/cmd/svmgate").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	os.Setenv(programKey, program)
	return m.Run()
}

// sources opens every folder that the program is made of. go test takes a result from
// its cache unless something that the test opened has changed, and does not see what a
// compiler opens that the test runs.
func sources() error {
	for _, folder := range []string{"cluster", "cmd", "discovery", "store"} {
		root := filepath.Join("..", "..", "..", "..", folder)
		if err := filepath.WalkDir(root, func(_ string, _ fs.DirEntry, err error) error { return err }); err != nil {
			return err
		}
	}
	return nil
}

// missing names what the lab needs and this machine does not have.
func missing() []string {
	var list []string
	if os.Geteuid() != 0 {
		list = append(list, "root")
	}
	for _, tool := range []string{"unshare", "nsenter", "taskset", "chrt", "ip", "nft"} {
		if _, err := exec.LookPath(tool); err != nil {
			list = append(list, tool)
		}
	}
	if len(list) == 0 {
		if out, err := exec.Command("unshare", "-n", "-m", "ip", "link", "add", "br0", "type", "bridge").CombinedOutput(); err != nil {
			list = append(list, "network namespaces ("+strings.TrimSpace(string(out))+")")
		}
	}
	return list
}

// inside reports whether the test runs in namespaces of its own. If not, inside has
// run it there, and the test is over.
func inside(t *testing.T) bool {
	t.Helper()
	if os.Getenv(insideKey) != "" {
		return true
	}
	if list := missing(); len(list) > 0 {
		t.Skipf("the lab needs %s", strings.Join(list, ", "))
	}
	if err := sources(); err != nil {
		t.Fatal(err)
	}
	args := []string{"-n", "-m", "--kill-child", "--fork", os.Args[0], "-test.run=^" + t.Name() + "$", "-test.v", "-test.timeout=30m"}
	if *long {
		args = append(args, "-lab.long")
	}
	cmd := exec.CommandContext(t.Context(), "unshare", args...)
	cmd.Env = append(os.Environ(), insideKey+"=1")
	out, err := cmd.CombinedOutput()
	t.Logf("inside:\n%s", out)
	if err != nil {
		t.Errorf("inside: %v", err)
	}
	return false
}

// A network is a bridge, at 10.77.0.254, with n namespaces at 10.77.0.1 and so on.
type network struct {
	t *testing.T
	n int
}

func ipOf(i int) string { return fmt.Sprintf("10.77.0.%d", i) }

func newNetwork(t *testing.T, n int) *network {
	t.Helper()
	net := &network{t: t, n: n}
	net.sh("mkdir -p /run/netns && mount -t tmpfs none /run/netns && ip link set lo up && " +
		"ip link add br0 type bridge && ip addr add 10.77.0.254/24 dev br0 && ip link set br0 up")
	for i := 1; i <= n; i++ {
		net.sh(fmt.Sprintf("ip netns add n%[1]d && ip link add v%[1]d type veth peer name eth0 netns n%[1]d && ip link set v%[1]d master br0 up && "+
			"ip -n n%[1]d addr add %[2]s/24 dev eth0 && ip -n n%[1]d link set eth0 up && ip -n n%[1]d link set lo up", i, ipOf(i)))
	}
	net.nft(`table bridge lab {
		set cut { type ipv4_addr . ipv4_addr; }
		chain loss { }
		chain forward { type filter hook forward priority 0; ip saddr . ip daddr @cut drop; jump loss; }
	}`)
	return net
}

func (net *network) sh(script string) {
	net.t.Helper()
	if out, err := exec.Command("sh", "-ec", script).CombinedOutput(); err != nil {
		net.t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

func (net *network) nft(rules string) {
	net.t.Helper()
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		net.t.Fatalf("nft %s: %v\n%s", rules, err, out)
	}
}

// part cuts every connection between the nodes of different groups.
func (net *network) part(groups ...[]int) {
	net.t.Helper()
	var pairs []string
	for g, group := range groups {
		for h, other := range groups {
			if g == h {
				continue
			}
			for _, i := range group {
				for _, j := range other {
					pairs = append(pairs, ipOf(i)+" . "+ipOf(j))
				}
			}
		}
	}
	net.nft("add element bridge lab cut { " + strings.Join(pairs, ", ") + " }")
}

// heal ends all cuts.
func (net *network) heal() {
	net.t.Helper()
	net.nft("flush set bridge lab cut")
}

// lose drops so many of a hundred packets between the nodes, TCP's too.
func (net *network) lose(percent int) {
	net.t.Helper()
	net.nft("flush chain bridge lab loss")
	if percent > 0 {
		net.nft(fmt.Sprintf("add rule bridge lab loss numgen random mod 100 < %d drop", percent))
	}
}
