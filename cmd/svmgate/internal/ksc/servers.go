package ksc

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Servers makes and removes virtual servers on one or several KSCs. It may be used by
// several goroutines at a time.
type Servers struct {
	cfg     Config
	centers []*center

	choosing chan struct{}       // has room for one, who chooses a KSC
	places   map[*place]struct{} // with choosing
}

// A place is room for a virtual server, from the choice of its KSC to the end of Make.
type place struct {
	center *center
	site   Site
	server atomic.Int64 // KLVSRV_ID; 0 until it is made
	over   atomic.Bool  // Make has ended
}

// Open returns Servers for cfg, or says what is wrong with it. It connects to nothing
// yet, and starts no goroutine. Close ends what it will have opened.
func Open(cfg Config) (*Servers, error) {
	cfg, err := cfg.settled()
	if err != nil {
		return nil, err
	}
	trusted, err := newTrust(cfg.CA)
	if err != nil {
		return nil, err
	}
	s := &Servers{cfg: cfg, choosing: make(chan struct{}, 1), places: map[*place]struct{}{}}
	for _, address := range cfg.URLs {
		u, err := url.Parse(address)
		if err != nil {
			return nil, fmt.Errorf("ksc: %w", err)
		}
		s.centers = append(s.centers, &center{
			url: address, account: cfg.account(address), cfg: &s.cfg, tls: trusted.config(u.Hostname()), log: cfg.Logger,
			room: make(chan struct{}, cfg.Connections), looks: make(chan struct{}, maxLooks),
		})
	}
	return s, nil
}

// Close ends the sessions and closes the connections that nobody uses. Those in use
// follow when they are no longer.
func (s *Servers) Close() {
	var all sync.WaitGroup
	for _, c := range s.centers {
		all.Go(c.shut)
	}
	all.Wait()
}

// find returns the KSC with an URL.
func (s *Servers) find(address string) (*center, error) {
	for _, c := range s.centers {
		if c.url == strings.TrimSuffix(address, "/") {
			return c, nil
		}
	}
	return nil, fmt.Errorf("ksc: %q is not among the KSCs that are configured", address)
}

// Capacity is how many virtual servers a KSC has.
type Capacity struct {
	URL         string
	Used, Limit int
	Err         error // why Used is not known
}

// Capacity asks every KSC, all at a time, how many virtual servers it has.
func (s *Servers) Capacity(ctx context.Context) []Capacity {
	found := make([]Capacity, len(s.centers))
	s.each(func(i int, c *center) {
		list, err := c.list(ctx)
		found[i] = Capacity{URL: c.url, Used: len(list), Limit: s.cfg.Limit, Err: err}
	})
	return found
}

// each calls fn for every KSC, all at a time.
func (s *Servers) each(fn func(i int, c *center)) {
	var all sync.WaitGroup
	for i, c := range s.centers {
		all.Go(func() { fn(i, c) })
	}
	all.Wait()
}

// choose takes a place on the KSC that site names, or on the one with the most room; of
// several, on the first that is configured.
func (s *Servers) choose(ctx context.Context, site Site) (*place, error) {
	centers := s.centers
	if site.KSC != "" {
		c, err := s.find(site.KSC)
		if err != nil {
			return nil, err
		}
		centers = []*center{c}
	}
	select {
	case s.choosing <- struct{}{}:
		defer func() { <-s.choosing }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	// Places that are over now have their virtual servers in the lists that follow. Those
	// that end while we ask may not, so they stay for this once.
	maps.DeleteFunc(s.places, func(p *place, _ struct{}) bool { return p.over.Load() })
	free := s.free(ctx, centers, false)
	if silent := func(r room) bool { return r.err != nil && passing(r.err) }; roomiest(free).left <= 0 && slices.ContainsFunc(free, silent) {
		free = s.free(ctx, centers, true)
	}
	best := roomiest(free)
	var full, silent []string
	var last error
	for _, r := range free {
		switch {
		case r.err != nil:
			silent, last = append(silent, r.center.url), r.err
		case r.left <= 0:
			full = append(full, fmt.Sprintf("%s (%d of %d)", r.center.url, s.cfg.Limit-r.left, s.cfg.Limit))
		}
	}
	switch {
	case best.left > 0:
		p := &place{center: best.center, site: site}
		s.places[p] = struct{}{}
		return p, nil
	case len(silent) == 0:
		return nil, fmt.Errorf("%w: %s", ErrFull, strings.Join(full, ", "))
	case len(full) == 0:
		return nil, last
	}
	return nil, fmt.Errorf("%s: full; %s: %w", strings.Join(full, ", "), strings.Join(silent, ", "), last)
}

// room is how many virtual servers a KSC can still have.
type room struct {
	center *center
	left   int
	err    error
}

// roomiest is the first with the most room.
func roomiest(rooms []room) room {
	return slices.MaxFunc(rooms, func(a, b room) int { return cmp.Compare(a.left, b.left) })
}

// free asks KSCs how much room they have; those that do not answer once, or time and
// again. Virtual servers that are being made count, whether KSC lists them yet or not.
func (s *Servers) free(ctx context.Context, centers []*center, patient bool) []room {
	rooms := make([]room, len(centers))
	var all sync.WaitGroup
	for i, c := range centers {
		all.Go(func() {
			l := c.borrow()
			defer c.back(l)
			ask := l.vservers
			if patient {
				ask = func(ctx context.Context) ([]vserver, error) { return again(ctx, c, l.vservers) }
			}
			list, err := ask(ctx)
			rooms[i] = room{center: c, err: err}
			if err == nil {
				rooms[i].left = s.cfg.Limit - len(list) - s.pending(c, list)
			}
		})
	}
	all.Wait()
	return rooms
}

// pending counts the places on c whose virtual servers list lacks.
func (s *Servers) pending(c *center, list []vserver) (n int) {
	for p := range s.places {
		if p.center != c {
			continue
		}
		n++
		for _, v := range list {
			if id := p.server.Load(); v.ID == id || id == 0 && p.site.marked(v.Name) {
				n--
				break
			}
		}
	}
	return n
}

// A VServer is what KSC tells of a virtual server.
type VServer struct {
	KSC     string // URL of the KSC it is on
	UID     string // KLVSRV_UID
	Name    string // display name
	Enabled bool
	Created time.Time // zero: not known
}

// Describe tells what KSC says of a site's virtual server, and whether there is one.
func (s *Servers) Describe(ctx context.Context, site Site) (VServer, bool, error) {
	if site.KSC == "" {
		return VServer{}, false, nil
	}
	c, err := s.find(site.KSC)
	if err != nil {
		return VServer{}, false, err
	}
	list, err := c.list(ctx)
	if err != nil {
		return VServer{}, false, err
	}
	for _, v := range list {
		if site.ours(v) {
			return VServer{KSC: c.url, UID: v.UID, Name: v.Name, Enabled: v.Enabled, Created: v.Created.Value}, true, nil
		}
	}
	return VServer{}, false, nil
}
