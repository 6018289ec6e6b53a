package main

import (
	"fmt"
	"slices"
	"testing"

	"github.com/svmgate/svmgate/discovery/policytest"
)

// A policy of one's own is held to the laws by one line.
func TestTwoChoicesKeepsTheLaws(t *testing.T) { policytest.Run(t, TwoChoices{}) }

// How far the fullest SVM is above the emptiest.
func Example() {
	for _, rule := range []struct {
		name  string
		loads []int
	}{
		{"by order", loads(ByOrder{})},
		{"two choices", loads(TwoChoices{})},
	} {
		fmt.Println(rule.name, slices.Max(rule.loads)-slices.Min(rule.loads))
	}

	// Output:
	// by order 121
	// two choices 2
}
