package cli

import (
	"encoding/json"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/firewall"
)

// ruleFlags are the flags of firewall.
type ruleFlags struct {
	format, iface string
	snat          []string
	zone          uint16
}

func firewallCommand() *cobra.Command {
	var f ruleFlags
	cmd, conn := remote(&cobra.Command{
		Use: "firewall TENANT", Short: "Write the firewall rules of a tenant, given by id or name", Args: exactly("TENANT"),
		Long: "Write the rules that keep the agents of an inactive complete tenant from SVMs, for the router between them.\n" +
			"For another tenant the text says why there is nothing to do, and removes what was made of an earlier one.\n" +
			"With --snat, write how the tenant's subnets reach the network of the SVMs instead. Nothing is changed here.\n\n" +
			"What must be known before the rules are used is said on standard error too.",
		Example: "  svmgate firewall acme --interface vlan17 | ssh router nft -f -\n" +
			"  svmgate firewall acme --format iptables | ssh router sh\n" +
			"  svmgate firewall acme --snat 10.9.0.1/24 --interface vlan17 --zone 17",
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if conn.output == "json" && !cmd.Flags().Changed("format") {
			f.format = string(firewall.JSON)
		}
		query, err := f.query(cmd)
		if err != nil {
			return err
		}
		path, err := conn.openTenant(cmd, args[0])
		if err != nil {
			return err
		}
		body, err := conn.get(cmd.Context(), path+"/firewall", query)
		if err != nil {
			return err
		}
		for _, caution := range cautions(body) {
			cmd.PrintErrf("Caution: %s.\n", caution)
		}
		_, err = cmd.OutOrStdout().Write(body)
		return err
	}
	flags := cmd.Flags()
	flags.StringVar(&f.format, "format", string(firewall.Nftables), "nftables, iptables (a script for sh) or json")
	flags.StringVar(&f.iface, "interface", "", "the router's `interface` to the tenant; tells tenants with overlapping subnets apart")
	flags.StringSliceVar(&f.snat, "snat", nil, "translate to this `address`, given with the prefix of the SVMs' network: 10.9.0.1/24; one for each family")
	flags.Uint16Var(&f.zone, "zone", 0, "with --snat and --interface: a `number` that no other tenant has, from 1")
	return cmd
}

// query is what the flags ask for. It refuses words that no gateway knows.
func (f *ruleFlags) query(cmd *cobra.Command) (url.Values, error) {
	if err := new(firewall.Format).UnmarshalText([]byte(f.format)); err != nil {
		return nil, usage("--format: %w", err)
	}
	query := url.Values{"format": {f.format}}
	if cmd.Flags().Changed("interface") {
		if err := new(firewall.Interface).UnmarshalText([]byte(f.iface)); err != nil {
			return nil, usage("--interface: %w", err)
		}
		query.Set("interface", f.iface)
	}
	if cmd.Flags().Changed("snat") {
		query.Set("snat", strings.Join(f.snat, ","))
	}
	if cmd.Flags().Changed("zone") {
		query.Set("zone", strconv.Itoa(int(f.zone)))
	}
	return query, nil
}

// cautions finds in an answer, whatever its format, what must be known before it is used.
func cautions(body []byte) (list []string) {
	var told struct{ Cautions []string }
	if json.Unmarshal(body, &told) == nil {
		return told.Cautions
	}
	for line := range strings.Lines(string(body)) {
		if caution, ok := strings.CutPrefix(line, firewall.Caution); ok {
			list = append(list, strings.TrimSuffix(strings.TrimSpace(caution), "."))
		}
	}
	return list
}
