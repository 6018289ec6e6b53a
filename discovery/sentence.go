package discovery

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/svmgate/svmgate/store"
)

// keptBecause says why an agent keeps its SVM.
func (x *explainer) keptBecause(has *Candidate) string {
	switch {
	case has.State == store.Draining:
		return "kept: it is draining, and this agent's turn to leave has yet to come"
	case has.Held:
		return "kept: it is silent, but too many fell silent at once to believe it before another gateway says the same"
	case has.Suspect && x.says:
		return "kept: others suspect it, but this agent is connected to it"
	case has.Suspect:
		return "kept: it is suspect, as are all others"
	case has.Removed == hardCap:
		return "kept: it is at its hard cap, which keeps out newcomers only"
	}
	best := has
	if len(x.usable) > 0 && !x.usable[0].Suspect {
		best = x.usable[0]
	}
	if best.group < has.group {
		return fmt.Sprintf("kept: it is healthy; %s %s, and has been usable for %v of the %v after which agents return",
			nameOf(best), x.advantage(best, has), x.usableFor(best), short(max(0, x.s.returnAfter)))
	}
	if best == has {
		return "kept: it is healthy, and " + firstOf(len(x.alike(has)))
	}
	return "kept: it is healthy, and nothing is better; for a new agent it would be " + nameOf(best)
}

// advantage says what is better about a candidate of a better group.
func (x *explainer) advantage(best, than *Candidate) string {
	switch {
	case best.Licensed != than.Licensed:
		return "has a valid licence"
	case best.KeyMatch != than.KeyMatch:
		return "has a key that suits the guest"
	default:
		return "is nearer"
	}
}

// lacks says what is worse about a candidate of a worse group.
func (x *explainer) lacks(c, best *Candidate) string {
	switch {
	case best.Licensed != c.Licensed:
		return "no valid licence"
	case best.KeyMatch != c.KeyMatch:
		return "its key does not suit the guest"
	default:
		return "it is not local"
	}
}

// usableFor is for how long an SVM has been usable without a pause.
func (x *explainer) usableFor(c *Candidate) string {
	l := x.s.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.index >= len(l.books) || l.books[c.index].goodSince < 0 {
		return short(0)
	}
	return short(l.moment.since - l.books[c.index].goodSince)
}

// short is a duration in one unit.
func short(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	default:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
}

// passedOver says why an SVM is not for an agent that needs one.
func (x *explainer) passedOver(c *Candidate) string {
	if !x.open(c.index) {
		return fmt.Sprintf("%s has just come up, and is open to %d of 8 agents", nameOf(c), c.Open)
	}
	return fmt.Sprintf("%s has %d agents where %d are fair", nameOf(c), c.Load, c.Fair)
}

// reason says why a candidate has its rank. The first of an answer has its own.
func (x *explainer) reason(c *Candidate) string {
	switch {
	case c.Reason != "" && x.first == nil:
		return c.Reason // at its hard cap, as all are
	case c.Suspect:
		return "suspect, so it comes after all others"
	case x.first != nil && c.group < x.first.group && !x.first.Suspect:
		return "better than what the agent has, but not yet for long enough"
	case c.group > x.usable[0].group:
		return "of a lower class: " + x.lacks(c, x.usable[0])
	case x.load == store.Balanced && x.s.policy == nil && !x.open(c.index):
		return fmt.Sprintf("has just come up, and is open to %d of 8 agents", c.Open)
	case x.load == store.Balanced && x.s.policy == nil && !x.share(c.group).below(x.s.agents(c.index), int32(c.Capacity)):
		return "has its share of agents"
	default:
		return "next in the agent's order"
	}
}

// sentence is the answer and its reason in one line.
func (x *explainer) sentence() string {
	switch {
	case len(x.all) == 0:
		return "no_svm: the table has no SVM"
	case x.first != nil && x.result == OverCapacity:
		return fmt.Sprintf("%s at %s: every usable SVM is at its hard cap, and this one is the least loaded",
			nameOf(x.first), x.first.Address)
	case x.first != nil:
		return fmt.Sprintf("%s at %s: %s", nameOf(x.first), x.first.Address, x.first.Reason)
	}
	removed := map[string]int{}
	var rules []string
	for i := range x.all {
		if removed[x.all[i].Removed]++; removed[x.all[i].Removed] == 1 {
			rules = append(rules, x.all[i].Removed)
		}
	}
	slices.Sort(rules)
	for i, r := range rules {
		rules[i] = fmt.Sprintf("%s removed %d", r, removed[r])
	}
	return fmt.Sprintf("no_svm: of %d SVMs none is left: %s", len(x.all), strings.Join(rules, ", "))
}

func nameOf(c *Candidate) string {
	if c.Name != "" {
		return c.Name
	}
	return c.ID.String()
}
