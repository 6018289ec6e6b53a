package daemon

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"github.com/svmgate/svmgate/cluster"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/audit"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/auth"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/inventory"
	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// adminName is the account that a first start creates.
const adminName = "admin"

// firstAccount creates the account admin if nobody can administer the table. An
// account that exists is never changed.
func (a *assembly) firstAccount() error {
	if a.administered() {
		return nil
	}
	if _, taken := a.table.Account(adminName); taken {
		a.opt.Log.Warn("no account has the role admin, and the name admin belongs to an account with another role")
		return nil
	}
	password := a.settings.AdminPassword
	show := password == ""
	if show {
		var random [18]byte
		rand.Read(random[:]) // never fails
		password = base64.RawURLEncoding.EncodeToString(random[:])
	}
	hash, err := auth.HashPassword([]byte(password))
	if err != nil {
		return fmt.Errorf("account %s: %w", adminName, err)
	}
	err = a.table.Update(func(tx *store.Tx) error {
		return audit.Account(tx, audit.Who{}, "user_create", "a first start created", adminName, func() error {
			_, err := tx.PutAccount(store.Account{Name: adminName, Role: store.RoleAdmin, Hash: hash})
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("account %s: %w", adminName, err)
	}
	if show {
		fmt.Fprintf(a.opt.Out, "Created the account %s with the password %s (shown only this once)\n", adminName, password)
	} else {
		a.opt.Log.Info("created the account admin with the password of SVMGATE_ADMIN_PASSWORD")
	}
	return nil
}

// administered reports whether somebody can administer the table.
func (a *assembly) administered() bool {
	return slices.ContainsFunc(a.table.Accounts(), func(account store.Account) bool { return account.Role == store.RoleAdmin })
}

// firstAdmin sees to the first account. A gateway that joins others takes theirs;
// if they have none either, the one whose name comes first makes it, so that only
// one password is shown. Where the password is given it does not matter who does.
func (a *assembly) firstAdmin() error {
	if a.replica == nil || len(a.settings.ClusterJoin) == 0 && !a.anew || a.settings.AdminPassword != "" {
		return a.firstAccount()
	}
	a.work.Go(func() {
		if err := a.electAdmin(); err != nil {
			a.opt.Log.Error("nobody can administer the table", "reason", err.Error())
		}
	})
	return nil
}

// electInterval is how often a gateway looks whether somebody has made the first
// account. It makes one when it has been the first of those there for as long:
// gateways that start together find each other in that time.
const electInterval = time.Second

func (a *assembly) electAdmin() error {
	look := time.NewTicker(electInterval)
	defer look.Stop()
	for before := false; !a.administered(); {
		first := a.comesFirst()
		if first && before {
			return a.firstAccount()
		}
		before = first
		select {
		case <-look.C:
		case <-a.life.Done():
			return nil
		}
	}
	return nil
}

// comesFirst reports whether no gateway that is there has a name before this one's.
func (a *assembly) comesFirst() bool {
	return !slices.ContainsFunc(a.replica.Members(), func(m cluster.Member) bool {
		return m.State == "alive" && m.Name < a.settings.NodeName
	})
}

// maxRefusals is how many refused records of a sample are logged one by one.
const maxRefusals = 10

// loadSample loads the sample inventory into an empty table.
func (a *assembly) loadSample() error {
	path := a.settings.Sample
	if path == "" {
		return nil
	}
	if s := a.table.Stats(); s.Tenants+s.SVMs+s.VMs > 0 {
		a.opt.Log.Info("the sample is not loaded: the table is not empty", "sample", path)
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sample: %w", err)
	}
	defer f.Close()
	head := make([]byte, 512)
	n, err := f.ReadAt(head, 0)
	if n == 0 && err != nil {
		return fmt.Errorf("sample %s: %w", path, err)
	}
	result, err := inventory.Load(a.table, f, inventory.Detect(path, head[:n]), inventory.Options{MaxBytes: a.settings.ImportLimit})
	if err != nil {
		return fmt.Errorf("sample %s: %w", path, err)
	}
	for i, r := range result.Refused {
		if i == maxRefusals {
			break
		}
		a.opt.Log.Warn("a record of the sample is refused", "line", r.Line, "reason", r.Reason)
	}
	s := a.table.Stats()
	a.opt.Log.Info("the sample is loaded", "sample", path, "tenants", s.Tenants, "svms", s.SVMs, "vms", s.VMs,
		"refused", len(result.Refused)+result.RefusedMore)
	return nil
}

// showSample prints a command that asks for a VM of the table as its agent would
// and gets an SVM.
func (a *assembly) showSample() {
	if a.settings.Sample == "" {
		return
	}
	vm, ok := a.servedVM()
	if !ok {
		fmt.Fprintln(a.opt.Out, "No VM of the sample is assigned an SVM; `svmgate explain BIOS_ID` says why.")
		return
	}
	fmt.Fprintf(a.opt.Out, "Ask as an agent would:\n\n  %s\n\n", a.curl(vm))
}

// servedVM returns a VM whose agent is assigned an SVM.
func (a *assembly) servedVM() (store.BIOSID, bool) {
	var after store.BIOSID
	var answer discovery.Answer
	for {
		page := a.table.VMs(after, nil, 1000)
		if len(page) == 0 {
			return after, false
		}
		for _, vm := range page {
			a.selector.Decide(&discovery.Query{BIOS: vm.BIOS}, &answer)
			if answer.Result == discovery.Assigned && !vm.Tenant.IsZero() {
				return vm.BIOS, true
			}
			after = vm.BIOS
		}
	}
}

// curl returns a command that asks about vm. Where agents authenticate, the
// management plane is asked: an administrator is at hand, an agent is not.
func (g *Gateway) curl(vm store.BIOSID) string {
	p, account := g.plane("agent"), ""
	if g.settings.AgentAuth != "none" {
		p, account = g.plane("admin"), "-u "+adminName+" "
	}
	trust := ""
	if p.listener.TLS != nil {
		trust = "--cacert " + g.settings.TLSCert + " "
	}
	return fmt.Sprintf("curl -s %s%s%s/v1/agents/%s/svm", account, trust, p.here(), vm)
}

// here returns the address of p for a client on this host.
func (p *plane) here() string {
	u := p.url()
	if tcp, ok := p.listener.Addr().(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		scheme := u[:len(u)-len(tcp.String())]
		return scheme + net.JoinHostPort("localhost", fmt.Sprint(tcp.Port))
	}
	return u
}
