package watch

import (
	"context"
	"slices"
)

// A greeting is what is known of another gateway that is alive.
type greeting uint8

const (
	unknown greeting = iota
	asked            // whether it watches
	watching
)

// greet returns which other gateways watch, and asks those of which it is not known. That
// one is alive does not say it: it may be filling its table, or of an older release. What
// fell to it would be told to nobody.
func (w *Watch) greet(ctx context.Context, members []Member) (names []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	alive := func(name string) bool {
		return slices.ContainsFunc(members, func(m Member) bool { return m.Name == name && m.Alive })
	}
	for name := range w.greeted {
		if !alive(name) {
			delete(w.greeted, name)
		}
	}
	for _, m := range members {
		switch {
		case m.Name == w.cfg.Self || !m.Alive:
		case w.greeted[m.Name] == watching:
			names = append(names, m.Name)
		case w.greeted[m.Name] == unknown:
			w.greeted[m.Name] = asked
			w.asking.Go(func() { w.askWhether(ctx, m.Name) })
		}
	}
	return names
}

// askWhether asks a gateway whether it watches. By the question it learns that this one
// does.
func (w *Watch) askWhether(ctx context.Context, member string) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	answer, err := w.cfg.Ask(ctx, member, []byte{formatGreeting})
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.greeted[member] != asked: // it went meanwhile, or said so itself
	case err == nil && len(answer) == 1 && answer[0] == formatGreeting:
		w.greeted[member] = watching
	default:
		w.greeted[member] = unknown // it is asked again
	}
}

// answerGreeting notes that another gateway watches, and says that this one does.
func (w *Watch) answerGreeting(from string) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.running {
		return nil, errStopped
	}
	if len(w.greeted) < maxGreeted || w.greeted[from] != unknown {
		w.greeted[from] = watching
	}
	return []byte{formatGreeting}, nil
}

const maxGreeted = 1024 // gateways of which something is known
