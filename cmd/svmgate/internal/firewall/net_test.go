package firewall

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// The tests of this file are about packets. In namespaces of their own they build
//
//	a 10.1.0.5 ──t-a┐
//	                ├ router ─dmz── svm 10.9.0.7, 10.9.0.8
//	b 10.1.0.5 ──t-b┘
//
// and the same with IPv6. The SVM has no route to the tenants, whose subnets are alike.

const (
	insideKey = "SVMGATE_FIREWALL_INSIDE" // the test runs in namespaces
	listenKey = "SVMGATE_FIREWALL_LISTEN" // the process is one that listens at these addresses
	dialKey   = "SVMGATE_FIREWALL_DIAL"   // … that connects to these
	localKey  = "SVMGATE_FIREWALL_LOCAL"  // and this is the port it does so from
)

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(listenKey) != "":
		listen(strings.Fields(os.Getenv(listenKey)))
	case os.Getenv(dialKey) != "":
		dial(strings.Fields(os.Getenv(dialKey)))
	default:
		os.Exit(m.Run())
	}
}

// missing names what these tests need and this machine does not have.
func missing(tools ...string) (list []string) {
	if os.Geteuid() != 0 {
		list = append(list, "root")
	}
	for _, tool := range append(tools, "unshare", "ip", "sysctl") {
		if _, err := exec.LookPath(tool); err != nil {
			list = append(list, tool)
		}
	}
	if len(list) == 0 {
		if out, err := exec.Command("unshare", "-n", "-m", "sh", "-ec", try(tools)).CombinedOutput(); err != nil {
			list = append(list, "network namespaces and a packet filter in them ("+strings.TrimSpace(string(out))+")")
		}
	}
	return list
}

// try is a script that fails where tools are there and the kernel does not let them.
func try(tools []string) string {
	script := "ip link add v0 type veth peer name v1"
	for _, tool := range tools {
		switch tool {
		case "nft":
			script += "; nft add table inet try"
		case "iptables", "ip6tables":
			script += "; " + tool + " -t nat -L -n >/dev/null"
		}
	}
	return script
}

// inside reports whether the test runs in namespaces of its own. If not, inside has run
// it there, and the test is over.
func inside(t *testing.T, tools ...string) bool {
	t.Helper()
	if os.Getenv(insideKey) != "" {
		return true
	}
	if list := missing(tools...); len(list) > 0 {
		t.Skipf("packets need %s", strings.Join(list, ", "))
	}
	cmd := exec.CommandContext(t.Context(), "unshare", "-n", "-m", "--kill-child", "--fork", os.Args[0],
		"-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=1m")
	cmd.Env = append(os.Environ(), insideKey+"=1")
	out, err := cmd.CombinedOutput()
	t.Logf("inside:\n%s", out)
	if err != nil {
		t.Errorf("inside: %v", err)
	}
	return false
}

// listen accepts connections and tells who it thinks connects, once for each line.
func listen(addresses []string) {
	for _, address := range addresses {
		l, err := net.Listen("tcp", address)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					for lines := bufio.NewScanner(c); lines.Scan(); {
						host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
						fmt.Fprintln(c, host)
					}
				}()
			}
		}()
	}
	fmt.Println("ready")
	select {}
}

// dial connects to addresses and says for each who it seems to be there, or nothing if
// it does not get through; and again for each line that it reads. It waits for long,
// but not for what it is not to reach, which is marked.
func dial(addresses []string) {
	conns := make([]net.Conn, len(addresses))
	lines := bufio.NewScanner(os.Stdin)
	for {
		seen := make(map[string]string)
		var mu sync.Mutex
		var all sync.WaitGroup
		for i, address := range addresses {
			all.Go(func() {
				address, timeout := strings.TrimSuffix(address, "!"), 5*time.Second
				if address != addresses[i] {
					timeout = 400 * time.Millisecond
				}
				who := talk(&conns[i], address, timeout)
				mu.Lock()
				defer mu.Unlock()
				seen[address] = who
			})
		}
		all.Wait()
		if json.NewEncoder(os.Stdout).Encode(seen) != nil || !lines.Scan() {
			return
		}
		addresses = strings.Fields(lines.Text())
	}
}

func talk(conn *net.Conn, address string, timeout time.Duration) string {
	if *conn == nil {
		d := net.Dialer{Timeout: timeout}
		if port := os.Getenv(localKey); port != "" {
			d.LocalAddr, _ = net.ResolveTCPAddr("tcp", ":"+port)
		}
		c, err := d.Dial("tcp", address)
		if err != nil {
			return ""
		}
		*conn = c
	}
	_ = (*conn).SetDeadline(time.Now().Add(timeout))
	fmt.Fprintln(*conn)
	who, _ := bufio.NewReader(*conn).ReadString('\n')
	return strings.TrimSpace(who)
}

// A router is the namespace that the test is in, between those of tenants and SVMs.
type router struct{ t *testing.T }

func (r router) sh(script string) string {
	r.t.Helper()
	out, err := exec.Command("sh", "-ec", script).CombinedOutput()
	if err != nil {
		r.t.Fatalf("%s\n%v: %s", script, err, out)
	}
	return string(out)
}

func newRouter(t *testing.T) router {
	r := router{t}
	r.sh("mkdir -p /run/netns && mount -t tmpfs none /run/netns && ip link set lo up && " +
		"sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.conf.all.rp_filter=1 net.ipv6.conf.default.accept_dad=0")
	for _, name := range []string{"a", "b"} {
		r.connect(name, "t-"+name, []string{"10.1.0.1/16", "fd01::1/64"}, []string{"10.1.0.5/16", "fd01::5/64"})
		r.sh(fmt.Sprintf("ip -n %[1]s route add default via 10.1.0.1 && ip -n %[1]s route add default via fd01::1", name))
	}
	r.connect("svm", "dmz", []string{"10.9.0.1/24", "fd09::1/64"}, []string{"10.9.0.7/24", "10.9.0.8/24", "fd09::7/64"})
	var all []string
	for _, p := range append(slices.Clone(Ports), 443) {
		all = append(all, fmt.Sprint(":", p))
	}
	line, _ := r.start("svm", listenKey+"="+strings.Join(all, " "))
	if line != "ready" {
		t.Fatalf("the SVM says %q", line)
	}
	return r
}

// connect makes a namespace and an interface to it.
func (r router) connect(name, iface string, ours, theirs []string) {
	r.t.Helper()
	r.sh(fmt.Sprintf("ip netns add %[1]s && ip netns exec %[1]s sysctl -qw net.ipv6.conf.default.accept_dad=0 && "+
		"ip link add %[2]s type veth peer name eth0 netns %[1]s && ip link set %[2]s up && ip -n %[1]s link set eth0 up && ip -n %[1]s link set lo up", name, iface))
	for _, a := range ours {
		r.sh("ip addr add " + a + " dev " + iface)
	}
	for _, a := range theirs {
		r.sh("ip -n " + name + " addr add " + a + " dev eth0")
	}
}

// start runs this program in a namespace and returns the first line that it writes, and
// a function that writes one to it and returns the next.
func (r router) start(namespace string, env ...string) (first string, next func(string) string) {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), "ip", "netns", "exec", namespace, os.Args[0])
	cmd.Env = append(os.Environ(), env...)
	in, err := cmd.StdinPipe()
	check(r.t, err)
	out, err := cmd.StdoutPipe()
	check(r.t, err)
	check(r.t, cmd.Start())
	r.t.Cleanup(func() { _ = cmd.Wait() }) // the context ends before
	lines := bufio.NewScanner(out)
	read := func() string { lines.Scan(); return lines.Text() }
	return read(), func(line string) string {
		_, _ = io.WriteString(in, line+"\n")
		return read()
	}
}

// svmAddresses are where the SVM can be reached, and as whom agents are seen there.
var svmAddresses = []struct{ address, seen string }{{"10.9.0.7", "10.9.0.1"}, {"10.9.0.8", "10.9.0.1"}, {"fd09::7", "fd09::1"}}

// expect complains unless a tenant reaches exactly the ports that it should: 443 always.
func (r router) expect(when, tenant string, blocked bool) {
	r.t.Helper()
	var addresses []string
	want := map[string]string{}
	for _, svm := range svmAddresses {
		for _, port := range append(slices.Clone(Ports), 443) {
			address := net.JoinHostPort(svm.address, fmt.Sprint(port))
			want[address] = svm.seen
			if blocked && port != 443 {
				want[address] = ""
				address += "!"
			}
			addresses = append(addresses, address)
		}
	}
	line, _ := r.start(tenant, dialKey+"="+strings.Join(addresses, " "))
	var got map[string]string
	check(r.t, json.Unmarshal([]byte(line), &got))
	if !maps.Equal(got, want) {
		r.t.Fatalf("%s: %s is seen as\n%v, want\n%v", when, tenant, got, want)
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
