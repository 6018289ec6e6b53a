package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/inventory"
	"github.com/svmgate/svmgate/store"
)

// maxShown is how many objects that would be removed are listed by name.
const maxShown = 100

// a surplusObject is something that the gateway has and the inventory has not.
type surplusObject struct {
	path string // of the object in the API
	name string // for people
}

// surplus compares the file with the gateway. VMs come first and tenants last,
// so that removing them in this order never finds one gone with its tenant.
func (c *connection) surplus(ctx context.Context, name string, format inventory.Format) ([]surplusObject, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	census, err := inventory.TakeCensus(file, format)
	if err != nil {
		return nil, fmt.Errorf("--prune needs a file without errors: %w", err)
	}
	tenants, svms, vms := census.Counts()
	var out []surplusObject
	err = errors.Join(
		collect(ctx, c, vms > 0, "/v1/vms", &out, func(vm store.VM) (bool, string, string) {
			return census.HasVM(vm.BIOS), vm.BIOS.String(), "VM " + vm.BIOS.String() + " " + vm.Name
		}),
		collect(ctx, c, svms > 0, "/v1/svms", &out, func(s store.SVM) (bool, string, string) {
			return census.HasSVM(s.ID, s.Name), s.ID.String(), "SVM " + s.ID.String() + " " + s.Name
		}),
		collect(ctx, c, tenants > 0, "/v1/tenants", &out, func(t store.Tenant) (bool, string, string) {
			return census.HasTenant(t.ID, t.Name), t.ID.String(), "tenant " + t.ID.String() + " " + t.Name + " with its VMs"
		}))
	return out, err
}

// collect adds to out what a list has and judge does not keep.
func collect[T any](ctx context.Context, c *connection, wanted bool, path string, out *[]surplusObject,
	judge func(T) (keep bool, id, name string),
) error {
	if !wanted {
		return nil
	}
	return c.each(ctx, path, func(raw json.RawMessage) error {
		var item T
		if err := json.Unmarshal(raw, &item); err != nil {
			return fmt.Errorf("GET %s: %w", path, err)
		}
		if keep, id, name := judge(item); !keep {
			*out = append(*out, surplusObject{path: path + "/" + id, name: strings.TrimSpace(name)})
		}
		return nil
	})
}

// agreeToPrune shows what would be removed and asks, unless there is nothing or
// the answer was given beforehand.
func agreeToPrune(cmd *cobra.Command, f importFlags, surplus []surplusObject) error {
	if len(surplus) == 0 {
		cmd.PrintErrln("There is nothing to prune.")
		return nil
	}
	cmd.PrintErrf("The file does not have %s of the gateway:\n", plural(len(surplus), "object"))
	for _, o := range surplus[:min(len(surplus), maxShown)] {
		cmd.PrintErrln("  " + o.name)
	}
	if more := len(surplus) - maxShown; more > 0 {
		cmd.PrintErrf("  and %d more\n", more)
	}
	if f.dryRun || f.sure {
		return nil
	}
	err := agree(cmd, "Remove them?")
	if errors.Is(err, errNoTerminal) {
		return usage("--prune: nobody can be asked here; give --yes to remove what is listed above")
	}
	return err
}

// agree asks whether to go on. Everything but yes is [errAborted].
func agree(cmd *cobra.Command, question string) error {
	answer, err := askLine(cmd, question+" [y/N] ")
	if errors.Is(err, errNoTerminal) {
		return err
	}
	if err != nil || !strings.EqualFold(answer, "y") && !strings.EqualFold(answer, "yes") {
		return errAborted
	}
	return nil
}

// remove deletes objects. One that is gone already is as good as removed.
func (c *connection) remove(cmd *cobra.Command, surplus []surplusObject) error {
	for i, o := range surplus {
		_, err := c.send(cmd.Context(), http.MethodDelete, o.path, nil, nil)
		var refused *refusal
		if err != nil && (!errors.As(err, &refused) || refused.Status != http.StatusNotFound) {
			return fmt.Errorf("%d of %d removed, then %s: %w", i, len(surplus), o.name, err)
		}
	}
	if len(surplus) > 0 {
		cmd.PrintErrf("removed %s\n", plural(len(surplus), "object"))
	}
	return nil
}
