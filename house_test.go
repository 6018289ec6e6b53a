package svmgate_test

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

// The rules of the repository, each with the smallest one that breaks it: a rule
// that can not fail holds nothing. They read the files themselves, because a
// test that asks `go list` is answered from the test cache when imports change.
var rules = []struct {
	name  string
	check func(repo) []string

	broken map[string]string // files of a repository that breaks the rule
	says   string            // part of what the rule then says
}{
	{
		name:  "store knows nothing of ours",
		check: arrows,
		broken: map[string]string{
			"store/a.go": `package store; import _ "github.com/svmgate/svmgate/cluster"`,
		},
		says: "store/a.go imports github.com/svmgate/svmgate/cluster",
	},
	{
		name:  "discovery knows only the table",
		check: arrows,
		broken: map[string]string{
			"discovery/a_test.go": `package discovery; import _ "github.com/svmgate/svmgate/bench"`,
		},
		says: "discovery/a_test.go imports github.com/svmgate/svmgate/bench",
	},
	{
		name:  "cluster knows no domain",
		check: arrows,
		broken: map[string]string{
			"cluster/a.go": `package cluster; import _ "github.com/svmgate/svmgate/store"`,
		},
		says: "cluster/a.go imports github.com/svmgate/svmgate/store",
	},
	{
		name:  "nothing imports the daemon",
		check: arrows,
		broken: map[string]string{
			"bench/load/a.go": `package load; import _ "github.com/svmgate/svmgate/cmd/svmgate/internal/auth"`,
		},
		says: "bench/load/a.go imports github.com/svmgate/svmgate/cmd/svmgate/internal/auth",
	},
	{
		name:  "a new folder says what it may import",
		check: arrows,
		broken: map[string]string{
			"lib/a.go": `package lib`,
		},
		says: "lib is not in the list",
	},
	{
		name:  "fasthttp stays in the daemon and the benchmarks",
		check: foreign,
		broken: map[string]string{
			"discovery/a.go": `package discovery; import _ "github.com/valyala/fasthttp/fasthttputil"`,
		},
		says: "discovery/a.go imports github.com/valyala/fasthttp/fasthttputil",
	},
	{
		name:  "memberlist stays in cluster",
		check: foreign,
		broken: map[string]string{
			"cmd/svmgate/a.go": `package main; import _ "github.com/hashicorp/memberlist"`,
		},
		says: "cmd/svmgate/a.go imports github.com/hashicorp/memberlist",
	},
	{
		name:  "govmomi stays in inventory",
		check: foreign,
		broken: map[string]string{
			"cmd/svmgate/a.go": `package main; import _ "github.com/vmware/govmomi"`,
		},
		says: "cmd/svmgate/a.go imports github.com/vmware/govmomi",
	},
	{
		name:  "the decision does no I/O",
		check: decision,
		broken: map[string]string{
			"discovery/a.go": `package discovery; import _ "os"`,
		},
		says: "discovery/a.go imports os",
	},
	{
		name:  "the decision reads no clock",
		check: decision,
		broken: map[string]string{
			"discovery/a.go": "package discovery\nimport \"time\"\nvar t = time.Now()",
		},
		says: "discovery/a.go:3 calls time.Now",
	},
	{
		name:  "every package says what it promises",
		check: packageComments,
		broken: map[string]string{
			"store/a.go": "package store",
			"store/b.go": "//go:build linux\n\npackage store",
		},
		says: "store has no package comment",
	},
	{
		name:  "no file is longer than one sitting",
		check: lengths(longer),
		broken: map[string]string{
			"store/a.go": "package store" + strings.Repeat("\n", maxLines+1),
		},
		says: "store/a.go has",
	},
	{
		name:  "no page leans on the machine it was written on",
		check: elsewhere,
		broken: map[string]string{
			"docs/a.md": "see ." + "./shared/design.md",
		},
		says: "docs/a.md:1 names",
	},
	{
		name:  "a link leads somewhere",
		check: links,
		broken: map[string]string{
			"docs/a.md": "see [the\nrules](../RULES.md#first)",
		},
		says: "docs/a.md links to ../RULES.md",
	},
	{
		name:  "a link to a heading finds it",
		check: links,
		broken: map[string]string{
			"docs/a.md": "see [it](b.md#the-2nd-rule-of-all)",
			"docs/b.md": "# The 2nd rule, of nothing",
		},
		says: "docs/b.md has no heading #the-2nd-rule-of-all",
	},
	{
		name:  "a page names only targets that make has",
		check: makeTargets,
		broken: map[string]string{
			"Makefile":  "build: ## builds\n",
			"README.md": "Try\n```sh\nmake build\nmake coffee\n```\n",
		},
		says: "README.md:4 names make coffee",
	},
	{
		name:  "make help lists every target",
		check: makeTargets,
		broken: map[string]string{
			"Makefile": ".PHONY: build\nbuild:\n\techo\n",
		},
		says: "target build has no ## comment",
	},
	{
		name:  "a test that a page relies on exists",
		check: namedTests,
		broken: map[string]string{
			"ARCHITECTURE.md": "One load of the view: `TestOneLoad`.",
			"store/a_test.go": "package store\n\nfunc TestOneLock() {}",
		},
		says: "ARCHITECTURE.md names TestOneLoad",
	},
	{
		name:  "a test that a comment relies on exists",
		check: namedTests,
		broken: map[string]string{
			"store/a.go": "// Package store merges; FuzzMergeLaws watches.\npackage store",
		},
		says: "store/a.go names FuzzMergeLaws",
	},
	{
		name:  "every setting is in the manual",
		check: settings,
		broken: map[string]string{
			"cmd/svmgate/internal/config/setting.go": "package config\n\nvar Table = []Setting{{Name: \"colour\"}}",
			"docs/operations.md":                     "`--size`",
		},
		says: "docs/operations.md does not name --colour",
	},
	{
		name:  "code in a page is code that the compiler sees",
		check: pageCode,
		broken: map[string]string{
			"README.md":              "```go\nsel.Select(&q, &a)\n```\n",
			"examples/embed/main.go": "package main\n\nfunc main() { sel.Decide(&q, &a) }\n",
		},
		says: "README.md:1",
	},
}

// TestHouse holds the rules over this repository.
func TestHouse(t *testing.T) {
	r, err := read(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, rule := range rules {
		for _, problem := range rule.check(r) {
			if !seen[problem] {
				t.Errorf("%s: %s", rule.name, problem)
			}
			seen[problem] = true
		}
	}
}

// TestRulesCanFail shows that each rule objects to what breaks it.
func TestRulesCanFail(t *testing.T) {
	for _, rule := range rules {
		t.Run(rule.name, func(t *testing.T) {
			broken := fstest.MapFS{}
			for name, text := range rule.broken {
				broken[name] = &fstest.MapFile{Data: []byte(text)}
			}
			r, err := read(broken)
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join(rule.check(r), "\n")
			if !strings.Contains(got, rule.says) {
				t.Errorf("the rule says %q, want it to say %q", got, rule.says)
			}
		})
	}
}

// TestRulesLetGoodPass shows that the rules object to nothing in a small
// repository that keeps them.
func TestRulesLetGoodPass(t *testing.T) {
	good := fstest.MapFS{
		"Makefile": {Data: []byte("build: ## builds\n\tgo build ./...\n")},
		"README.md": {Data: []byte("# A title\n\nSee [below](#a-title), [docs](docs/a.md#one--two), `make build`\n" +
			"or <https://example.org>.\n```go\n\tstore.Open()\n```\n```\n[not a link](nowhere.md)\n```\n")},
		"docs/a.md":        {Data: []byte("# One & two\n")},
		"store/doc.go":     {Data: []byte("// Package store keeps; TestKept watches.\npackage store\n")},
		"store/a.go":       {Data: []byte("package store\n\nimport _ \"os\"\n\nfunc f() {\n\tstore.Open()\n}\n")},
		"store/a_test.go":  {Data: []byte("package store_test\n\nfunc TestKept() {}\n" + strings.Repeat("\n", 2*maxLines))},
		"discovery/doc.go": {Data: []byte("// Package discovery decides.\npackage discovery\n\nimport _ \"" + module + "/store\"\n")},
		"discovery/policytest/a.go": {Data: []byte("// Package policytest checks.\npackage policytest\n\n" +
			"import _ \"testing\"\n")},
		"cmd/svmgate/internal/agentapi/a.go": {Data: []byte("// Package agentapi answers.\npackage agentapi\n\n" +
			"import (\n\t_ \"" + module + "/discovery\"\n\t_ \"github.com/valyala/fasthttp\"\n)\n")},
		"bin/left.go":         {Data: []byte("package broken?")},
		"tools/go.mod":        {Data: []byte("module tools\n")},
		"tools/gen.go":        {Data: []byte("package main\n\nimport _ \"github.com/hashicorp/memberlist\"\n")},
		"store/testdata/x.go": {Data: []byte("package broken?")},
	}
	r, err := read(good)
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range rules {
		for _, problem := range rule.check(r) {
			t.Errorf("%s: %s", rule.name, problem)
		}
	}
}

// TestLengthExcuses shows that a file may be excused for its length, and only
// while it needs it.
func TestLengthExcuses(t *testing.T) {
	r, err := read(fstest.MapFS{
		"store/long.go":  {Data: []byte("package store" + strings.Repeat("\n", maxLines+1))},
		"store/short.go": {Data: []byte("package store\n")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := lengths(map[string]string{"store/long.go": "one table"})(r); len(got) != 0 {
		t.Errorf("an excused file: the rule says %q, want nothing", got)
	}
	got := lengths(map[string]string{"store/long.go": "one table", "store/short.go": "was long once"})(r)
	if want := "store/short.go is excused for its length, and need not be"; len(got) != 1 || got[0] != want {
		t.Errorf("an excuse that is not needed: the rule says %q, want %q", got, want)
	}
}
