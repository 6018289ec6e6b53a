package vsphere

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/session"
	"github.com/vmware/govmomi/vapi/rest"
	"github.com/vmware/govmomi/vapi/tags"
	"github.com/vmware/govmomi/view"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// Config says how to reach a vCenter.
type Config struct {
	// URL is that of the SDK, such as https://vc.example.org/sdk, with the
	// account to log in with.
	URL *url.URL

	// CAFile names a PEM file of the authorities that may sign the vCenter's
	// certificate. If empty, the system's are used.
	CAFile string

	// Insecure accepts any certificate.
	Insecure bool

	// PageSize is how many objects the vCenter sends at a time; 0 means 1000.
	PageSize int
}

// logoutTimeout bounds what is done after the work is done or given up.
const logoutTimeout = 5 * time.Second

// connection is a session with a vCenter.
type connection struct {
	client *govmomi.Client
	tags   *rest.Client // nil until tags are asked for
	user   *url.Userinfo
	page   int32
}

// connect logs in. Its errors never show the password.
func connect(ctx context.Context, cfg Config) (*connection, error) {
	if cfg.URL == nil || cfg.URL.Host == "" || cfg.URL.Scheme != "https" && cfg.URL.Scheme != "http" {
		return nil, errors.New("the URL must be like https://user@vcenter.example.org/sdk")
	}
	if cfg.URL.User == nil {
		return nil, errors.New("the URL names no account; write https://user@vcenter.example.org/sdk")
	}
	u := *cfg.URL
	u.User = nil
	if u.Path == "" || u.Path == "/" {
		u.Path = "/sdk"
	}
	transport := soap.NewClient(&u, cfg.Insecure)
	if cfg.CAFile != "" {
		if err := transport.SetRootCAs(cfg.CAFile); err != nil {
			return nil, fmt.Errorf("read the authorities in %s: %w", cfg.CAFile, err)
		}
	}
	vim, err := vim25.NewClient(ctx, transport)
	if err != nil && soap.IsCertificateUntrusted(err) {
		return nil, fmt.Errorf("connect to %s: the certificate is signed by nobody that is trusted here; name its authority, or accept any certificate: %w", u.Host, err)
	}
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", u.Host, err)
	}
	c := &connection{client: &govmomi.Client{Client: vim, SessionManager: session.NewManager(vim)}, user: cfg.URL.User, page: 1000}
	if cfg.PageSize > 0 {
		c.page = int32(cfg.PageSize)
	}
	if err := c.client.Login(ctx, c.user); err != nil {
		return nil, fmt.Errorf("log in to %s as %s: %w", u.Host, c.user.Username(), err)
	}
	return c, nil
}

// close logs out, even if ctx is done: vCenter allows few sessions.
func (c *connection) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), logoutTimeout)
	defer cancel()
	if c.tags != nil {
		_ = c.tags.Logout(ctx)
	}
	_ = c.client.Logout(ctx)
}

// retrieve reads the named properties of all objects of a type, a page at a
// time. dst is a pointer to a slice of that type.
func (c *connection) retrieve(ctx context.Context, kind string, properties []string, dst any) error {
	root := c.client.ServiceContent.RootFolder
	all, err := view.NewManager(c.client.Client).CreateContainerView(ctx, root, []string{kind}, true)
	if err != nil {
		return fmt.Errorf("list every %s: %w", kind, err)
	}
	defer func() {
		done, cancel := context.WithTimeout(context.WithoutCancel(ctx), logoutTimeout)
		defer cancel()
		_ = all.Destroy(done)
	}()
	skip := true
	request := types.RetrieveProperties{SpecSet: []types.PropertyFilterSpec{{
		ObjectSet: []types.ObjectSpec{{
			Obj: all.Reference(), Skip: &skip,
			SelectSet: []types.BaseSelectionSpec{&types.TraversalSpec{Type: all.Reference().Type, Path: "view"}},
		}},
		PropSet: []types.PropertySpec{{Type: kind, PathSet: properties}},
	}}}
	got, err := c.client.PropertyCollector().RetrieveProperties(ctx, request, c.page)
	if err != nil {
		return fmt.Errorf("read every %s: %w", kind, err)
	}
	if err := mo.LoadObjectContent(got.Returnval, dst); err != nil {
		return fmt.Errorf("read every %s: %w", kind, err)
	}
	return nil
}

// tagged returns the names of the tags of a category that objects have.
func (c *connection) tagged(ctx context.Context, category string) (map[types.ManagedObjectReference][]string, error) {
	if c.tags == nil {
		client := rest.NewClient(c.client.Client)
		if err := client.Login(ctx, c.user); err != nil {
			return nil, fmt.Errorf("log in to read tags: %w", err)
		}
		c.tags = client
	}
	m := tags.NewManager(c.tags)
	list, err := m.GetTagsForCategory(ctx, category)
	if err != nil {
		return nil, fmt.Errorf("read the tags of category %q: %w", category, err)
	}
	byObject := make(map[types.ManagedObjectReference][]string)
	if len(list) == 0 {
		return byObject, nil
	}
	names := make(map[string]string, len(list))
	ids := make([]string, 0, len(list))
	for _, tag := range list {
		names[tag.ID] = tag.Name
		ids = append(ids, tag.ID)
	}
	attached, err := m.ListAttachedObjectsOnTags(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("read what has tags of category %q: %w", category, err)
	}
	for _, a := range attached {
		for _, object := range a.ObjectIDs {
			ref := object.Reference()
			byObject[ref] = append(byObject[ref], names[a.TagID])
		}
	}
	return byObject, nil
}
