package vsphere

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/cli"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/inventory"
)

// Command returns the command inventory, which reads placements from virtual
// infrastructures.
func Command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "inventory",
		Short: "Read an inventory from a virtual infrastructure",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_ = cmd.Help()
			return usage("%s needs a command", cmd.CommandPath())
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return cli.UsageError{Err: err} })
	cmd.AddCommand(vsphereCommand())
	return cmd
}

func usage(format string, args ...any) error {
	return cli.UsageError{Err: fmt.Errorf(format, args...)}
}

func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage("%s takes no argument and was given %q; see %s --help", cmd.CommandPath(), args[0], cmd.CommandPath())
	}
	return nil
}

// flags are those of inventory vsphere, as typed.
type flags struct {
	url, passwordFile, caFile string
	insecure                  bool
	timeout                   time.Duration

	svmName, svmTag, tenantFolder, tenantTag string
	unmapped, biosOrder, site, overlay       string
	pin, strict                              bool

	out, format string
	load        bool
	gateway     gateway
}

func vsphereCommand() *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:   "vsphere --url URL",
		Short: "Read hosts, SVMs and virtual machines from a vCenter",
		Long: `Read hosts, clusters, datacenters and virtual machines from a vCenter, tell SVMs
from the machines of tenants, and write an inventory or import it.

The output is sorted and holds nothing that changes by itself: after a machine
moved to another host, its line alone differs. Templates are skipped. Machines
that share a BIOS UUID, as clones do, are named and skipped.

The overlay is an inventory file of the same form. What it says of a tenant, an
SVM (by id or name) or a VM (by BIOS ID) replaces what the vCenter says, and what
the vCenter does not have is added: types of tenants, licences, versions.

The password is taken from the URL, else from --password-file, else from
SVMGATE_VSPHERE_PASSWORD. A reading account is enough.`,
		Example: `  # SVMs are called svm-…, each tenant has a folder below Tenants
  SVMGATE_VSPHERE_PASSWORD=… svmgate inventory vsphere --url https://reader@vcenter.example.org/sdk \
    --svm-name '^svm-' --tenant-folder '^/[^/]+/vm/Tenants/([^/]+)' --overlay licences.yaml --out inventory.yaml

  # every night
  svmgate inventory vsphere --url … --svm-tag Role/SVM --tenant-tag Customer --format ndjson --out - | svmgate import -`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return cli.UsageError{Err: err} })
	f.define(cmd)
	return cmd
}

func (f *flags) define(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.url, "url", "", "vCenter, as https://user[:password]@host/sdk")
	flags.StringVar(&f.passwordFile, "password-file", "", "`file` whose first line is the vCenter password")
	flags.StringVar(&f.caFile, "ca-file", "", "PEM `file` of the authorities that sign the vCenter's certificate (default: the system's)")
	flags.BoolVar(&f.insecure, "insecure-skip-verify", false, "accept any certificate of the vCenter")
	flags.DurationVar(&f.timeout, "timeout", 10*time.Minute, "give up after this time")

	flags.StringVar(&f.svmName, "svm-name", "", "`regexp` that the names of SVMs match")
	flags.StringVar(&f.svmTag, "svm-tag", "", "tag that SVMs have, as `category/name`")
	flags.StringVar(&f.tenantFolder, "tenant-folder", "", "`regexp` over the path of a machine's folder, such as /dc1/vm/Tenants/acme; its group is the tenant's name")
	flags.StringVar(&f.tenantTag, "tenant-tag", "", "`category` of tags whose names are the tenants' (before --tenant-folder)")
	flags.StringVar(&f.unmapped, "unmapped", "skip", "machines that those rules give to no tenant: skip or keep (registered in no tenant, they are always served)")
	flags.StringVar(&f.biosOrder, "bios-order", "standard", "byte order of BIOS IDs: standard (as vCenter shows them) or swapped")
	flags.StringVar(&f.site, "site", "", "`name` in front of every datacenter, for vCenters that name them alike")
	flags.BoolVar(&f.pin, "pin-svms", false, "mark SVMs as pinned: up without reports")
	flags.StringVar(&f.overlay, "overlay", "", "inventory `file` laid over what the vCenter says")
	flags.BoolVar(&f.strict, "strict", false, "fail, and write nothing, if any machine is doubtful")

	flags.StringVar(&f.out, "out", "-", "`file` to write; - is standard output")
	flags.StringVar(&f.format, "format", "", "yaml or ndjson (default: by the ending of --out, else yaml)")
	flags.BoolVar(&f.load, "import", false, "import into a running gateway instead of writing")
	f.gateway.define(cmd)
}

func (f *flags) run(cmd *cobra.Command) error {
	cfg, err := f.config()
	if err != nil {
		return err
	}
	rules, err := f.rules()
	if err != nil {
		return err
	}
	format, err := f.outFormat()
	if err != nil {
		return err
	}
	if f.load {
		if _, _, _, err := f.gateway.account(); err != nil {
			return err
		}
	}
	over, err := f.readOverlay()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), f.timeout)
	defer cancel()
	found, err := Read(ctx, cfg, rules)
	if err != nil {
		return err
	}
	items := inventory.Overlay(found.Items, over)
	Sort(items)
	report(cmd, found, items)
	if n := len(found.Problems); f.strict && n > 0 {
		return fmt.Errorf("--strict: nothing was written, as %d machines are doubtful", n)
	}
	if f.load {
		return f.gateway.send(cmd, items)
	}
	return f.write(cmd, format, items)
}

// config checks what leads to the vCenter. Errors never show a password.
func (f *flags) config() (Config, error) {
	if f.url == "" {
		return Config{}, usage("--url is missing; give https://user@vcenter.example.org/sdk")
	}
	u, err := url.Parse(f.url)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return Config{}, usage("--url: must be like https://user@vcenter.example.org/sdk")
	}
	if u.User == nil || u.User.Username() == "" {
		return Config{}, usage("--url %s: names no account; write https://user@%s/sdk", u.Redacted(), u.Host)
	}
	password, given := u.User.Password()
	if !given && f.passwordFile != "" {
		text, err := os.ReadFile(f.passwordFile)
		if err != nil {
			return Config{}, usage("--password-file: %w", err)
		}
		password, _, _ = strings.Cut(string(text), "\n")
		password, given = strings.TrimSuffix(password, "\r"), true
	}
	if !given {
		password, given = os.LookupEnv("SVMGATE_VSPHERE_PASSWORD")
	}
	if !given {
		return Config{}, usage("no password for %s: set SVMGATE_VSPHERE_PASSWORD or give --password-file", u.User.Username())
	}
	if f.timeout <= 0 {
		return Config{}, usage("--timeout %v: must be more than 0", f.timeout)
	}
	u.User = url.UserPassword(u.User.Username(), password)
	return Config{URL: u, CAFile: f.caFile, Insecure: f.insecure}, nil
}

func (f *flags) rules() (Rules, error) {
	r := Rules{SVMTag: f.svmTag, TenantTag: f.tenantTag, Pinned: f.pin, Site: f.site, Unmapped: f.unmapped == "keep", Swapped: f.biosOrder == "swapped"}
	if f.unmapped != "skip" && f.unmapped != "keep" {
		return r, usage("--unmapped %q: must be skip or keep", f.unmapped)
	}
	if f.biosOrder != "standard" && f.biosOrder != "swapped" {
		return r, usage("--bios-order %q: must be standard or swapped", f.biosOrder)
	}
	var err error
	if f.svmName != "" {
		if r.SVMName, err = regexp.Compile(f.svmName); err != nil {
			return r, usage("--svm-name: %w", err)
		}
	}
	if f.tenantFolder != "" {
		if r.TenantFolder, err = regexp.Compile(f.tenantFolder); err != nil {
			return r, usage("--tenant-folder: %w", err)
		}
	}
	if err := r.Check(); err != nil {
		return r, cli.UsageError{Err: err}
	}
	return r, nil
}

func (f *flags) outFormat() (inventory.Format, error) {
	format := inventory.Detect(f.out, nil)
	if f.format != "" {
		var err error
		if format, err = inventory.ParseFormat(f.format); err != nil {
			return 0, usage("--format: %w", err)
		}
	}
	if format == inventory.CSV {
		return 0, usage("an inventory with SVMs can not be written as csv; give --format yaml or ndjson")
	}
	return format, nil
}

func (f *flags) readOverlay() (items []inventory.Item, err error) {
	if f.overlay == "" {
		return nil, nil
	}
	file, err := os.Open(f.overlay)
	if err != nil {
		return nil, usage("--overlay: %w", err)
	}
	defer file.Close()
	err = inventory.Read(file, inventory.Detect(f.overlay, nil), func(item inventory.Item) error {
		if item.Err != nil {
			return item.Err
		}
		items = append(items, item)
		return nil
	})
	if err != nil {
		return nil, usage("--overlay %s: %w", f.overlay, err)
	}
	return items, nil
}

// maxWarnings bounds the doubtful machines that are listed.
const maxWarnings = 100

func report(cmd *cobra.Command, found *Found, items []inventory.Item) {
	for i, p := range found.Problems {
		if i == maxWarnings {
			cmd.PrintErrf("warning: and %d machines more\n", len(found.Problems)-i)
			break
		}
		cmd.PrintErrf("warning: %v\n", p)
	}
	var tenants, svms, vms int
	for _, item := range items {
		switch {
		case item.Tenant != nil:
			tenants++
		case item.SVM != nil:
			svms++
		default:
			vms++
		}
	}
	cmd.PrintErrf("tenants: %d, SVMs: %d, VMs: %d, machines left out as they are no tenant's: %d\n", tenants, svms, vms, found.Unmapped)
}

// write replaces a file as a whole or not at all.
func (f *flags) write(cmd *cobra.Command, format inventory.Format, items []inventory.Item) error {
	if f.out == "-" {
		return inventory.Write(cmd.OutOrStdout(), format, items)
	}
	var b bytes.Buffer
	if err := inventory.Write(&b, format, items); err != nil {
		return err
	}
	return replace(f.out, &b)
}

func replace(name string, content io.Reader) (err error) {
	next, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(next.Name())
		}
	}()
	_, err = io.Copy(next, content)
	err = errors.Join(err, next.Chmod(0o644), next.Sync(), next.Close())
	if err != nil {
		return err
	}
	return os.Rename(next.Name(), name)
}
