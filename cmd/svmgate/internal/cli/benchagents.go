package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/svmgate/svmgate/bench"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/inventory"
	"github.com/svmgate/svmgate/store"
)

// maxWorld bounds each number of a made world.
const maxWorld = 50_000_000

// findAgents finds out who asks, and what they show.
func (f *benchFlags) findAgents() error {
	given := 0
	for _, source := range []string{f.agents, f.inventory, f.world} {
		if source != "" {
			given++
		}
	}
	switch {
	case given != 1:
		return usage("one of --inventory FILE, --agents FILE and --world says who asks")
	case f.token != "" && f.tokens != "":
		return usage("--agent-token and --agent-tokens exclude each other")
	case f.tokens != "" && f.agents != "":
		return usage("--agent-tokens needs --inventory or --world, which say whose VM it is")
	}
	if token := f.token; token != "" {
		if strings.ContainsAny(token, " \r\n\t") {
			return usage("--agent-token: a token has no spaces")
		}
		f.cfg.Token = func(int) string { return token }
	}
	tenants, err := f.readAgents()
	if err != nil || f.tokens == "" {
		return err
	}
	return f.readTokens(tenants)
}

// readAgents fills in the agents. It returns the tenant of each if tokens are by
// tenant.
func (f *benchFlags) readAgents() ([]store.TenantID, error) {
	if f.world != "" {
		w, err := parseWorld(f.world)
		if err != nil {
			return nil, usage("--world %s: %w", f.world, err)
		}
		return f.fromWorld(w), nil
	}
	name := f.agents + f.inventory
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if f.tokens != "" {
		return f.fromInventory(file)
	}
	if f.cfg.Agents, err = bench.ReadAgents(file); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return nil, nil
}

// parseWorld reads tenants=1000,svms=400,vms=100000,seed=1.
func parseWorld(text string) (bench.World, error) {
	w := bench.World{Tenants: 1000, SVMs: 400, VMs: 100_000, Seed: 1}
	numbers := map[string]*int{"tenants": &w.Tenants, "svms": &w.SVMs, "vms": &w.VMs}
	for item := range strings.SplitSeq(text, ",") {
		name, number, _ := strings.Cut(item, "=")
		n, err := strconv.ParseUint(number, 10, 64)
		into, known := numbers[name]
		switch {
		case err != nil || !known && name != "seed":
			return w, fmt.Errorf("%q: want tenants=, svms=, vms= or seed= and a number", item)
		case known && (n == 0 || n > maxWorld):
			return w, fmt.Errorf("%q: want from 1 to %d", item, maxWorld)
		case known:
			*into = int(n)
		default:
			w.Seed = n
		}
	}
	return w, nil
}

func (f *benchFlags) fromWorld(w bench.World) (tenants []store.TenantID) {
	of := make([]store.TenantID, w.Tenants)
	for i := range of {
		of[i] = w.Tenant(i).ID
	}
	for i := range w.VMs {
		f.cfg.Agents = append(f.cfg.Agents, w.BIOS(i))
		if f.tokens != "" {
			tenants = append(tenants, of[i%w.Tenants])
		}
	}
	return tenants
}

// fromInventory reads VMs with their tenants.
func (f *benchFlags) fromInventory(file *os.File) ([]store.TenantID, error) {
	head := make([]byte, 512)
	n, err := file.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	byName := map[string]store.TenantID{}
	var refs []inventory.TenantRef
	err = inventory.Read(file, inventory.Detect(f.inventory, head[:n]), func(item inventory.Item) error {
		switch {
		case item.Err != nil:
			return item.Err
		case item.Tenant != nil && item.Tenant.Name != nil && !item.Tenant.ID.IsZero():
			byName[*item.Tenant.Name] = item.Tenant.ID
		case item.VM != nil && item.VM.Tenant != nil:
			f.cfg.Agents = append(f.cfg.Agents, item.VM.BIOS)
			refs = append(refs, *item.VM.Tenant)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.inventory, err)
	}
	tenants := make([]store.TenantID, len(refs))
	for i, ref := range refs {
		if tenants[i] = ref.ID; !ref.ID.IsZero() {
			continue
		}
		var named bool
		if tenants[i], named = byName[ref.Name]; !named {
			tenants[i] = inventory.TenantIDOf(ref.Name)
		}
	}
	return tenants, nil
}

// readTokens reads lines of a tenant's id and its token, and keeps the agents of
// tenants that have one.
func (f *benchFlags) readTokens(tenants []store.TenantID) error {
	file, err := os.Open(f.tokens)
	if err != nil {
		return err
	}
	defer file.Close()
	tokens := map[store.TenantID]string{}
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		words := strings.Fields(lines.Text())
		if len(words) == 0 {
			continue
		}
		id, err := store.ParseTenantID(words[0])
		if err != nil || len(words) != 2 {
			return fmt.Errorf("%s: line %d: want a tenant's id and its token", f.tokens, n)
		}
		tokens[id] = words[1]
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s: %w", f.tokens, err)
	}
	var kept []string
	agents := f.cfg.Agents[:0]
	for i, id := range f.cfg.Agents {
		if token, ok := tokens[tenants[i]]; ok {
			agents, kept = append(agents, id), append(kept, token)
		}
	}
	if len(agents) == 0 {
		return fmt.Errorf("%s has no token of a tenant whose VMs ask", f.tokens)
	}
	f.cfg.Agents, f.cfg.Token = agents, func(i int) string { return kept[i] }
	return nil
}

func benchInventory() *cobra.Command {
	var w bench.World
	cmd := &cobra.Command{
		Use: "inventory FILE", Short: "Make an inventory of any size, for svmgate import", Args: exactly("FILE"),
		Long: `Make an inventory (NDJSON) of tenants, SVMs and VMs, for svmgate import. The same
numbers and seed make the same inventory, and svmgate bench --world asks as its VMs.`,
		Example: "  svmgate bench inventory big.ndjson --tenants 10000 --svms 4000 --vms 1000000",
		RunE: func(_ *cobra.Command, args []string) error {
			for name, n := range map[string]int{"tenants": w.Tenants, "svms": w.SVMs, "vms": w.VMs} {
				if n < 0 || n > maxWorld {
					return usage("--%s: want from 0 to %d", name, maxWorld)
				}
			}
			file, err := os.OpenFile(args[0], os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
			if err != nil {
				return err
			}
			return errors.Join(w.WriteInventory(file), file.Close())
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&w.Tenants, "tenants", 1000, "number of tenants")
	flags.IntVar(&w.SVMs, "svms", 400, "number of SVMs")
	flags.IntVar(&w.VMs, "vms", 100_000, "number of VMs")
	flags.Uint64Var(&w.Seed, "seed", 1, "what ids are made from")
	return cmd
}

func benchTokens(conn *connection) *cobra.Command {
	return &cobra.Command{
		Use: "tokens FILE", Short: "Make a new token for the agents of every tenant", Args: exactly("FILE"),
		Long: `Make a new token for the agents of every tenant, and write them to FILE, which only
you can read, for svmgate bench --agent-tokens. Tokens that tenants have stay valid
as after svmgate tenant token: this is for gateways that are being tried.`,
		Example: "  svmgate bench tokens tokens.txt",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := conn.open(cmd); err != nil {
				return err
			}
			file, err := os.OpenFile(args[0], os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
			if err != nil {
				return err
			}
			out := bufio.NewWriter(file)
			n := 0
			err = conn.each(cmd.Context(), "/v1/tenants", func(raw json.RawMessage) error {
				var t store.Tenant
				if err := json.Unmarshal(raw, &t); err != nil {
					return err
				}
				body, err := conn.send(cmd.Context(), "POST", "/v1/tenants/"+t.ID.String()+"/token", nil, nil)
				if err != nil {
					return err
				}
				var made struct{ Token string }
				if err := json.Unmarshal(body, &made); err != nil {
					return err
				}
				n++
				_, err = fmt.Fprintln(out, t.ID, made.Token)
				return err
			})
			if err = errors.Join(err, out.Flush(), file.Close()); err != nil {
				return err
			}
			return conn.done(cmd, "%s in %s", plural(n, "token"), args[0])
		},
	}
}
