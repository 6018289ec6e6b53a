package cli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/svmgate/svmgate/store"
)

// printSummary writes s as JSON, or behind a word for people.
func printSummary(cmd *cobra.Command, output, word string, s store.Summary) error {
	if output == "json" {
		body, err := json.Marshal(s)
		if err != nil {
			return err
		}
		return printJSON(cmd, body)
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", word, counts(s))
	return err
}

// counts says what s counts; of what it has none is left out.
func counts(s store.Summary) string {
	var words []string
	if s.Files > 0 {
		words = append(words, plural(s.Files, "file"), plural(int(s.Bytes), "byte"))
	}
	words = append(words, plural(int(s.Records), "record")+kinds(s.Kinds))
	if s.Tombstones > 0 {
		words = append(words, plural(int(s.Tombstones), "tombstone"))
	}
	if s.Cut > 0 {
		words = append(words, plural(int(s.Cut), "byte")+" behind the end of the log")
	}
	return strings.Join(words, ", ")
}

// kinds lists the kinds of records, the most frequent first.
func kinds[K cmp.Ordered](of map[K]int64) string {
	list := make([]K, 0, len(of))
	for kind := range of {
		list = append(list, kind)
	}
	if len(list) == 0 {
		return ""
	}
	slices.SortFunc(list, func(a, b K) int { return cmp.Or(cmp.Compare(of[b], of[a]), cmp.Compare(a, b)) })
	words := make([]string, 0, len(list))
	for _, kind := range list {
		words = append(words, fmt.Sprintf("%v %d", kind, of[kind]))
	}
	return " (" + strings.Join(words, ", ") + ")"
}
