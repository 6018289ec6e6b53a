package bench

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A Kind is a kind of request.
type Kind uint8

// The kinds of requests.
const (
	Ask      Kind = iota // one agent's question
	Batch                // the questions of many agents
	Poll                 // a question that waits for another answer
	Report               // what an SVM tells of itself, on the management plane
	Activate             // a tenant switched on or off, on the management plane
	numKinds
)

var kindNames = [numKinds]string{"ask", "batch", "poll", "report", "activate"}

func (k Kind) String() string { return kindNames[k] }

// A Mix has the weight of each kind of request; only their ratios count.
type Mix map[Kind]float64

// ParseMix reads a mix such as "ask=90,batch=5,poll=5".
func ParseMix(text string) (Mix, error) {
	m := Mix{}
	for item := range strings.SplitSeq(text, ",") {
		name, number, _ := strings.Cut(item, "=")
		kind := slices.Index(kindNames[:], name)
		if kind < 0 {
			return nil, fmt.Errorf("%q: want a kind of %s", item, strings.Join(kindNames[:], ", "))
		}
		weight, err := strconv.ParseFloat(number, 64)
		if err != nil || !(weight >= 0) || weight > MaxRate {
			return nil, fmt.Errorf("%q: want a weight such as %s=90", item, name)
		}
		if _, again := m[Kind(kind)]; again {
			return nil, fmt.Errorf("%s is there twice", name)
		}
		m[Kind(kind)] = weight
	}
	if m.sum() == 0 {
		return nil, errors.New("no kind has a weight")
	}
	return m, nil
}

func (m Mix) sum() (sum float64) {
	for kind := range numKinds { // in order: the sum of floats depends on it
		sum += m[kind]
	}
	return sum
}

// share is the part that some kinds have of the whole, from 0 to 1.
func (m Mix) share(kinds ...Kind) (share float64) {
	for _, kind := range kinds {
		share += m[kind]
	}
	return share / m.sum()
}

func (m Mix) check() error {
	for kind, weight := range m {
		if kind >= numKinds || !(weight >= 0 && weight <= MaxRate) {
			return fmt.Errorf("bench: Mix must have weights from 0 to %d of known kinds", MaxRate)
		}
	}
	if m.sum() == 0 {
		return errors.New("bench: Mix must have a kind with a weight")
	}
	return nil
}

// named is the share of each kind by its name.
func (m Mix) named() map[string]float64 {
	out := map[string]float64{}
	for kind, weight := range m {
		if weight > 0 {
			out[kind.String()] = weight / m.sum()
		}
	}
	return out
}
