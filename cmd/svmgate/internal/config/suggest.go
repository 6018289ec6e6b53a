package config

// meant returns "; did you mean …?" if a setting has a name like name.
func meant(name string, env bool) string {
	best, least := (*Setting)(nil), 3 // more than two slips is another word
	for i := range Table {
		if d := distance(name, Table[i].Name); d < least {
			best, least = &Table[i], d
		}
	}
	switch {
	case best == nil:
		return ""
	case env:
		return "; did you mean " + best.Env() + "?"
	}
	return "; did you mean " + best.Name + "?"
}

// distance returns the Levenshtein distance of a and b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
