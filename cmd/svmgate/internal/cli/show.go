package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"
)

// print writes the body of an answer as it came, or calls show to write it for
// people.
func (c *connection) print(cmd *cobra.Command, body []byte, show func(io.Writer) error) error {
	if c.output == "json" {
		return printJSON(cmd, body)
	}
	return show(cmd.OutOrStdout())
}

func printJSON(cmd *cobra.Command, body []byte) error {
	_, err := cmd.OutOrStdout().Write(append(bytes.TrimRight(body, "\n"), '\n'))
	return err
}

// printList writes a list: all its items as one page, or a row for each.
func printList[T any](c *connection, cmd *cobra.Command, path string, header table.Row, row func(T) table.Row) error {
	all, err := c.list(cmd.Context(), path)
	if err != nil {
		return err
	}
	if c.output == "json" {
		body, err := json.Marshal(all)
		if err != nil {
			return err
		}
		return printJSON(cmd, body)
	}
	rows := make([]table.Row, 0, len(all.Items))
	for _, raw := range all.Items {
		var item T
		if err := json.Unmarshal(raw, &item); err != nil {
			return fmt.Errorf("GET %s: %w", path, err)
		}
		rows = append(rows, row(item))
	}
	return printTable(cmd.OutOrStdout(), header, rows)
}

// printTable writes rows under a header, without lines or colours, so that
// words can be cut out by column.
func printTable(w io.Writer, header table.Row, rows []table.Row) error {
	t := table.NewWriter()
	t.AppendHeader(header)
	for _, row := range rows {
		for i, cell := range row {
			if word, ok := cell.(fmt.Stringer); ok { // else it is taken for the number it is
				row[i] = word.String()
			}
		}
		t.AppendRow(row)
	}
	t.SetColumnConfigs(numbers(header, rows))
	style := table.StyleDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Box.PaddingLeft = ""
	style.Box.PaddingRight = "  "
	t.SetStyle(style)
	t.SuppressTrailingSpaces()
	_, err := fmt.Fprintln(w, t.Render())
	return err
}

// numbers aligns the columns of numbers, with dashes where there is none.
func numbers(header table.Row, rows []table.Row) (columns []table.ColumnConfig) {
	for i := range header {
		words := slices.ContainsFunc(rows, func(row table.Row) bool {
			_, number := row[i].(int)
			return !number && row[i] != "-"
		})
		if !words {
			columns = append(columns, table.ColumnConfig{Number: i + 1, Align: text.AlignRight, AlignHeader: text.AlignRight})
		}
	}
	return columns
}

// printObject writes the fields of a JSON object, one a line, in their order.
func printObject(w io.Writer, body []byte) error {
	var rows [][2]string
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if err := flatten(dec, "", &rows); err != nil {
		return err
	}
	width := 0
	for _, r := range rows {
		width = max(width, len(r[0]))
	}
	for _, r := range rows {
		line := strings.TrimRight(fmt.Sprintf("%-*s  %s", width, r[0], r[1]), " ")
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}

// flatten reads one JSON value into rows of path and text.
func flatten(dec *json.Decoder, path string, rows *[][2]string) error {
	token, err := dec.Token()
	if err != nil {
		return err
	}
	switch token {
	case json.Delim('{'):
		for dec.More() {
			name, err := dec.Token()
			if err != nil {
				return err
			}
			if err := flatten(dec, strings.TrimPrefix(fmt.Sprintf("%s.%v", path, name), "."), rows); err != nil {
				return err
			}
		}
		_, err = dec.Token()
		return err
	case json.Delim('['):
		var words []string
		for dec.More() {
			var item [][2]string
			if err := flatten(dec, "", &item); err != nil {
				return err
			}
			for _, r := range item {
				words = append(words, r[1])
			}
		}
		*rows = append(*rows, [2]string{path, strings.Join(words, ", ")})
		_, err = dec.Token()
		return err
	}
	*rows = append(*rows, [2]string{path, fmt.Sprint(token)})
	return nil
}

// orDash stands a dash where nothing is known.
func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
