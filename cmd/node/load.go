package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/recount-ledger/recount/internal/node"
)

func (s setting) flag() string { return strings.NewReplacer(".", "-", "_", "-").Replace(s.key) }

// def returns the default as text, which is empty if there is none.
func (s setting) def() string {
	if s.field.format == nil {
		return ""
	}
	c := node.Defaults()
	return s.field.format(&c)
}

// addFlags adds flags for all settings that are not secrets. A secret on a command line is visible to every
// process.
func addFlags(fs *pflag.FlagSet) {
	for _, s := range settings {
		if s.secret {
			fs.String(s.flag()+"-file", "", "file with: "+s.help+" (env "+s.env+" or "+s.env+"_FILE)")
			continue
		}
		fs.String(s.flag(), "", s.help+" (env "+s.env+")"+defaultText(s.def()))
		if s.bare {
			fs.Lookup(s.flag()).NoOptDefVal = "true"
		}
	}
}

func defaultText(def string) string {
	if def == "" {
		return ""
	}
	return ", default " + def
}

// values holds the settings as text, with the precedence flag > environment > file > default.
type values struct {
	text   map[string]string
	origin map[string]string
	voters []node.Voter
	from   string // source of voters
	unread bool   // the file could not be read as a whole, so its settings are unknown
}

// load reads all layers. Relative file names in the file are relative to the file.
func load(path string, fs *pflag.FlagSet, env func(string) (string, bool)) (values, error) {
	v := values{text: map[string]string{}, origin: map[string]string{}}
	var errs []error
	for _, s := range settings {
		if def := s.def(); def != "" {
			v.set(s.key, def, "default")
		}
	}
	if path != "" {
		errs = append(errs, v.loadFile(path))
	}
	for _, s := range settings {
		for _, suffix := range suffixes(s) {
			name := s.env + strings.ToUpper(suffix)
			text, ok := env(name)
			switch {
			case ok && !s.secret && strings.TrimSpace(text) == "" && (text != "" || !s.none):
				errs = append(errs,
					fmt.Errorf("%s: environment %s is set to nothing: give it a value, or unset it", s.key, name))
			case ok && text != "": // an empty secret is none, so that a parent process can remove one
				v.override(s, suffix, text, "environment "+name)
			}
		}
	}
	for _, s := range settings {
		for _, suffix := range suffixes(s) {
			name := s.flag() + strings.ReplaceAll(suffix, "_", "-")
			if f := fs.Lookup(name); f != nil && f.Changed {
				v.override(s, suffix, f.Value.String(), "flag --"+name)
			}
		}
	}
	errs = append(errs, v.readSecrets()...)
	return v, errors.Join(errs...)
}

func suffixes(s setting) []string {
	if s.secret {
		return []string{"", "_file"}
	}
	return []string{""}
}

func (v values) set(key, text, origin string) { v.text[key], v.origin[key] = text, origin }

// override replaces both spellings of a secret from lower layers, but not of the same layer.
func (v values) override(s setting, suffix, text, origin string) {
	layer := strings.Fields(origin)[0]
	for _, other := range suffixes(s) {
		if o := v.origin[s.key+other]; o != "" && !strings.HasPrefix(o, layer) {
			delete(v.text, s.key+other)
			delete(v.origin, s.key+other)
		}
	}
	v.set(s.key+suffix, text, origin)
}

func didYouMean(key string) string {
	for _, s := range settings {
		squash := strings.NewReplacer("_", "", "-", "", ".", "")
		if strings.EqualFold(squash.Replace(s.key), squash.Replace(key)) || strings.HasSuffix(s.key, "."+key) {
			return fmt.Sprintf(", did you mean %q?", s.key)
		}
	}
	return ""
}

// checkLists rejects an empty element of a list, which is usually a variable that was not set.
func (v values) checkLists() error {
	var errs []error
	for _, s := range settings {
		if text := v.text[s.key]; s.field.kind == kindList && text != "" && slices.Contains(strings.Split(text, ","), "") {
			errs = append(errs, fmt.Errorf("%s: has an empty part between, before or behind its commas", s.key))
		}
	}
	return errors.Join(errs...)
}

func (v values) list(key string) []string { return split(v.text[key]) }

// split returns the parts of a list once each, without empty ones.
func split(text string) []string {
	var out []string
	for _, part := range strings.Split(text, ",") {
		if part != "" && !slices.Contains(out, part) {
			out = append(out, part)
		}
	}
	return out
}
