package svmgate_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// module is this module's path.
const module = "github.com/svmgate/svmgate"

// imports says which of our packages the code in a folder may import, besides
// those in the folder itself. Tests are code too.
var imports = map[string][]string{
	".":         nil,
	"store":     nil,
	"discovery": {"store"},
	"cluster":   nil, // records are key, version and bytes, by interfaces of its own
	"bench":     {"discovery", "store"},
	"examples":  {"cluster", "discovery", "store"},
	"cmd":       {"bench", "cluster", "discovery", "store"}, // svmgate bench and svmgate plan
}

// keeps says in which folders alone a module of others may be imported: what
// must be replaceable or is dangerous stays where one can see all of it.
var keeps = map[string][]string{
	"github.com/valyala/fasthttp":     {"cmd/svmgate", "bench"},
	"github.com/hashicorp/memberlist": {"cluster"},
	"github.com/vmware/govmomi":       {"cmd/svmgate/internal/inventory"},
}

// decides are the packages that the decision may import: nothing that does I/O,
// and nothing that answers two gateways differently.
var decides = []string{
	module + "/store",
	"github.com/cespare/xxhash/v2",
	"context", // of a forecast, which takes seconds: who asked may go away
	"bytes", "cmp", "encoding/binary", "encoding/json", "errors", "fmt", "log/slog",
	"maps", "math", "math/bits", "net/netip", "slices", "sort", "strconv", "strings", "sync",
	"sync/atomic", "time", "unsafe",
}

// maxLines bounds a Go file that is not a test.
const maxLines = 500

// longer are the files that may pass maxLines, each with the reason.
var longer = map[string]string{}

// A repo is what the rules look at: the text files of the repository by name,
// and the Go files of this module, parsed.
type repo struct {
	text map[string]string
	code map[string]*ast.File
	fset *token.FileSet
}

// read reads a repository. It leaves out what is built (bin), what belongs to
// others (folders that start with a dot, except .ci) and, from the code,
// testdata and other modules.
func read(fsys fs.FS) (repo, error) {
	r := repo{text: map[string]string{}, code: map[string]*ast.File{}, fset: token.NewFileSet()}
	modules := map[string]bool{}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if hidden := d.Name() != "." && d.Name() != ".ci" && d.Name()[0] == '.'; hidden || name == "bin" {
				return fs.SkipDir
			}
			_, err := fs.Stat(fsys, path.Join(name, "go.mod"))
			modules[name] = name != "." && err == nil || modules[path.Dir(name)]
			return nil
		}
		b, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		r.text[name] = string(b)
		if !strings.HasSuffix(name, ".go") || strings.Contains(name, "testdata/") || modules[path.Dir(name)] {
			return nil
		}
		r.code[name], err = parser.ParseFile(r.fset, name, b, parser.ParseComments)
		return err
	})
	return r, err
}

// eachImport calls fn with every import of every Go file, in the order of names.
func (r repo) eachImport(fn func(file, imported string)) {
	for _, file := range sortedKeys(r.code) {
		for _, spec := range r.code[file].Imports {
			if imported, err := strconv.Unquote(spec.Path.Value); err == nil {
				fn(file, imported)
			}
		}
	}
}

// arrows checks the directions of [imports], and that they name every folder
// with code.
func arrows(r repo) (problems []string) {
	for _, file := range sortedKeys(r.code) {
		if _, known := imports[top(file)]; !known {
			problems = append(problems, top(file)+" is not in the list of who may import what")
		}
	}
	r.eachImport(func(file, imported string) {
		ours, ok := strings.CutPrefix(imported+"/", module+"/")
		if !ok {
			return
		}
		from, to := top(file), top(ours)
		if to != from && !slices.Contains(imports[from], to) {
			problems = append(problems, fmt.Sprintf("%s imports %s; %s may import %q of ours", file, imported, from, imports[from]))
		}
	})
	return problems
}

// top returns the first folder of a path, or "." for a file at the root.
func top(name string) string {
	if folder, _, found := strings.Cut(name, "/"); found {
		return folder
	}
	return "."
}

// foreign checks [keeps].
func foreign(r repo) (problems []string) {
	r.eachImport(func(file, imported string) {
		for mod, folders := range keeps {
			if !within(imported, mod) {
				continue
			}
			if !slices.ContainsFunc(folders, func(folder string) bool { return within(file, folder) }) {
				problems = append(problems, fmt.Sprintf("%s imports %s, which stays in %q", file, imported, folders))
			}
		}
	})
	return problems
}

// clock is the one function of discovery that asks for the time, for the pulse.
const clockFile, clockFunc = "discovery/pulse.go", "clock"

// decision checks that discovery, tests and packages for tests aside, imports only
// [decides] and asks for the time in one place.
func decision(r repo) (problems []string) {
	hot := func(file string) bool { // packages that test decide nothing
		return within(file, "discovery") && !strings.HasSuffix(file, "_test.go") && !strings.HasSuffix(path.Dir(file), "test")
	}
	r.eachImport(func(file, imported string) {
		if hot(file) && !slices.Contains(decides, imported) {
			problems = append(problems, fmt.Sprintf("%s imports %s, which is not among what the decision may import", file, imported))
		}
	})
	for _, file := range sortedKeys(r.code) {
		if !hot(file) {
			continue
		}
		ast.Inspect(r.code[file], func(n ast.Node) bool {
			if fn, ok := n.(*ast.FuncDecl); ok && file == clockFile && fn.Recv == nil && fn.Name.Name == clockFunc {
				return false
			}
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			pkg, ok := sel.X.(*ast.Ident)
			if ok && pkg.Name == "time" && (sel.Sel.Name == "Now" || sel.Sel.Name == "Since" || sel.Sel.Name == "Until") {
				at := r.fset.Position(n.Pos())
				problems = append(problems, fmt.Sprintf("%s:%d calls time.%s", file, at.Line, sel.Sel.Name))
			}
			return true
		})
	}
	return problems
}

// packageComments checks that each folder with code that is not a test has a
// package comment in one of its files.
func packageComments(r repo) (problems []string) {
	has := map[string]bool{}
	for name, file := range r.code {
		if !strings.HasSuffix(name, "_test.go") {
			dir := path.Dir(name)
			has[dir] = has[dir] || strings.TrimSpace(file.Doc.Text()) != ""
		}
	}
	for _, dir := range sortedKeys(has) {
		if !has[dir] {
			problems = append(problems, dir+" has no package comment")
		}
	}
	return problems
}

// lengths checks [maxLines], and that each file that longer excuses needs it.
func lengths(longer map[string]string) func(repo) []string {
	return func(r repo) (problems []string) {
		for _, name := range sortedKeys(r.code) {
			lines := strings.Count(r.text[name], "\n")
			if _, excused := longer[name]; lines > maxLines && !excused && !strings.HasSuffix(name, "_test.go") {
				problems = append(problems, fmt.Sprintf("%s has %d lines; split it by subject, at most %d", name, lines, maxLines))
			}
		}
		for _, name := range sortedKeys(longer) {
			if strings.Count(r.text[name], "\n") <= maxLines {
				problems = append(problems, name+" is excused for its length, and need not be")
			}
		}
		return problems
	}
}

// elsewhere checks that no file names a folder outside the repository that only
// its writer had. The words are put together here so as not to find themselves.
func elsewhere(r repo) (problems []string) {
	for _, name := range sortedKeys(r.text) {
		for i, line := range strings.Split(r.text[name], "\n") {
			for _, word := range []string{"/wo" + "rk/", "." + "./shared"} {
				if strings.Contains(line, word) {
					problems = append(problems, fmt.Sprintf("%s:%d names %s", name, i+1, word))
				}
			}
		}
	}
	return problems
}

var (
	linkPattern   = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	fencePattern  = regexp.MustCompile("(?ms)^ *```.*?^ *```[^\\n]*$")
	notInSlug     = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	targetPattern = regexp.MustCompile(`(?m)^([a-z][a-z-]*):([^=].*)?$`)
	namedTest     = regexp.MustCompile(`\b(?:Test|Fuzz|Benchmark|Example)[A-Z]\w*`)
	settingName   = regexp.MustCompile(`\bName: "([a-z-]+)"`)
	namedTarget   = regexp.MustCompile("(?:^|`)make ([a-z][a-z-]*)")
)

// links checks that links in pages to files and headings of the repository
// lead somewhere.
func links(r repo) (problems []string) {
	for _, page := range r.pages() {
		prose := fencePattern.ReplaceAllString(r.text[page], "")
		for _, match := range linkPattern.FindAllStringSubmatch(prose, -1) {
			target := match[1]
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			file, anchor, _ := strings.Cut(target, "#")
			dest := page
			if file != "" {
				dest = path.Join(path.Dir(page), file)
			}
			if !r.has(dest) {
				problems = append(problems, fmt.Sprintf("%s links to %s, which is not there", page, file))
			} else if anchor != "" && strings.HasSuffix(dest, ".md") && !slices.Contains(r.headings(dest), anchor) {
				problems = append(problems, fmt.Sprintf("%s links to %s; %s has no heading #%s", page, target, dest, anchor))
			}
		}
	}
	return problems
}

// headings returns the anchors of a page's headings, as GitHub forms them.
func (r repo) headings(page string) (anchors []string) {
	prose := fencePattern.ReplaceAllString(r.text[page], "")
	for line := range strings.Lines(prose) {
		if title := strings.TrimLeft(line, "#"); title != line && strings.HasPrefix(title, " ") {
			slug := notInSlug.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), "")
			anchors = append(anchors, strings.ReplaceAll(slug, " ", "-"))
		}
	}
	return anchors
}

// makeTargets checks that the targets that pages name exist, and that each
// target that is a word of its own says what it does.
func makeTargets(r repo) (problems []string) {
	targets := map[string]bool{}
	for _, match := range targetPattern.FindAllStringSubmatch(r.text["Makefile"], -1) {
		targets[match[1]] = true
		if !strings.Contains(match[2], "## ") {
			problems = append(problems, fmt.Sprintf("target %s has no ## comment, so make help leaves it out", match[1]))
		}
	}
	for _, page := range r.pages() {
		for i, line := range strings.Split(r.text[page], "\n") {
			for _, match := range namedTarget.FindAllStringSubmatch(line, -1) {
				if !targets[match[1]] {
					problems = append(problems, fmt.Sprintf("%s:%d names make %s, which there is not", page, i+1, match[1]))
				}
			}
		}
	}
	return problems
}

// pageCode checks that each block of Go in a page stands in a Go file of the
// repository, give or take indentation, so that the compiler keeps it true.
func pageCode(r repo) (problems []string) {
	var all strings.Builder
	for _, name := range sortedKeys(r.code) {
		all.WriteString(unindented(r.text[name]))
	}
	for _, page := range r.pages() {
		rest, line := r.text[page], 1
		for {
			before, after, found := strings.Cut(rest, "```go\n")
			if !found {
				break
			}
			line += strings.Count(before, "\n")
			block, tail, _ := strings.Cut(after, "```")
			if !strings.Contains(all.String(), unindented(block)) {
				problems = append(problems, fmt.Sprintf("%s:%d shows Go that stands in no Go file", page, line))
			}
			line += 1 + strings.Count(block, "\n")
			rest = tail
		}
	}
	return problems
}

// namedTests checks that the tests that pages, the Makefile and comments name
// exist somewhere: a promise must not lean on a test that was renamed away.
func namedTests(r repo) (problems []string) {
	exists, texts := map[string]bool{}, map[string]string{"Makefile": r.text["Makefile"]}
	for name, file := range r.code {
		for _, decl := range file.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok {
				exists[fn.Name.Name] = true
			}
		}
		for _, comment := range file.Comments {
			texts[name] += comment.Text()
		}
	}
	for _, page := range r.pages() {
		texts[page] = r.text[page]
	}
	for _, name := range sortedKeys(texts) {
		for _, test := range namedTest.FindAllString(texts[name], -1) {
			if !exists[test] {
				problems = append(problems, fmt.Sprintf("%s names %s, which is nowhere", name, test))
			}
		}
	}
	return problems
}

// settings checks that the manual names every row of the table of settings: as
// a flag or, if it has none, as an environment variable.
func settings(r repo) (problems []string) {
	const table, manual = "cmd/svmgate/internal/config/setting.go", "docs/operations.md"
	for _, match := range settingName.FindAllStringSubmatch(r.text[table], -1) {
		flag, variable := "--"+match[1], "SVMGATE_"+strings.ToUpper(strings.ReplaceAll(match[1], "-", "_"))
		if !strings.Contains(r.text[manual], flag) && !strings.Contains(r.text[manual], variable) {
			problems = append(problems, fmt.Sprintf("%s does not name %s", manual, flag))
		}
	}
	return problems
}

// unindented returns text with the indentation of its lines removed.
func unindented(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return strings.Join(lines, "\n")
}

// pages returns the names of the Markdown files, in order.
func (r repo) pages() []string {
	return slices.DeleteFunc(sortedKeys(r.text), func(name string) bool { return !strings.HasSuffix(name, ".md") })
}

// has reports whether name is a file or a folder of the repository.
func (r repo) has(name string) bool {
	if _, ok := r.text[name]; ok || name == "." {
		return true
	}
	for file := range r.text {
		if strings.HasPrefix(file, name+"/") {
			return true
		}
	}
	return false
}

// within reports whether name is folder or lies below it.
func within(name, folder string) bool {
	return name == folder || strings.HasPrefix(name, folder+"/")
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
