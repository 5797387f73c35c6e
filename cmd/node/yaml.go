package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// yamlKinds names the types that YAML gives to unquoted words.
var yamlKinds = map[string]string{
	"!!int":       "a number",
	"!!float":     "a number",
	"!!bool":      "true or false",
	"!!timestamp": "a date",
	"!!null":      "nothing",
	"!!binary":    "bytes",
	"!!seq":       "a list",
	"!!map":       "a mapping",
}

// yamlTexts reads a settings file as written, by key. YAML reads a secret of digits as a number, yes as true
// and [a, b] as a list, and formatting these values again gives another text. Therefore every setting must have
// its kind.
func yamlTexts(path string) (map[string]string, []error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, []error{err}
	}
	dec := yaml.NewDecoder(bytes.NewReader(content))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		return nil, []error{err}
	}
	r := yamlReader{texts: map[string]string{}}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		r.bad(&more, "---", "a second document: the settings are one, and what stands behind would not count")
	}
	root := resolved(doc.Content[0])
	if root.Kind != yaml.MappingNode {
		r.bad(root, "settings", "must be a mapping of names and values")
		return nil, r.errs
	}
	r.mapping("", root)
	return r.texts, r.errs
}

// yamlReader walks through a document.
type yamlReader struct {
	texts map[string]string
	errs  []error
}

func (r *yamlReader) bad(n *yaml.Node, key, why string) {
	r.errs = append(r.errs, fmt.Errorf("line %d: %s: %s", n.Line, key, why))
}

// resolved follows an alias. An alias cannot form a cycle.
func resolved(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func (r *yamlReader) mapping(prefix string, m *yaml.Node) {
	for i := 0; i+1 < len(m.Content); i += 2 {
		name, value := m.Content[i], resolved(m.Content[i+1])
		key := prefix + name.Value
		switch {
		case name.ShortTag() != "!!str":
			r.bad(name, key, "a name must be text")
		case key == "voters":
			r.voters(value)
		case value.Kind == yaml.MappingNode:
			r.mapping(key+".", value)
		default:
			r.setting(key, value)
		}
	}
}

// setting stores the text of one setting if it has the setting's kind.
func (r *yamlReader) setting(key string, n *yaml.Node) {
	tag, kind := n.ShortTag(), settingOf(key).field.kind
	switch {
	case n.Kind == yaml.SequenceNode && kind == kindList:
		r.list(key, n)
	case tag == "!!null" || tag == "!!str" && strings.TrimSpace(n.Value) == "":
		r.bad(n, key, "has no value: give one, or take the line out")
	case tag == "!!str", tag == "!!bool" && kind == kindBool,
		(tag == "!!int" || tag == "!!float") && kind == kindNumber:
		r.texts[key] = n.Value
	case settingOf(key).key == "" && settingOf(strings.TrimSuffix(key, "_file")).key == "":
		// load reports that it is unknown
	default:
		r.bad(n, key, "is read as "+yamlKind(tag)+" and not as text: quote it")
	}
}

func yamlKind(tag string) string {
	if kind, ok := yamlKinds[tag]; ok {
		return kind
	}
	return tag
}

// list joins the items by commas, like the same setting as text.
func (r *yamlReader) list(key string, n *yaml.Node) {
	var items []string
	for i, item := range n.Content {
		item = resolved(item)
		name := fmt.Sprintf("%s[%d]", key, i)
		switch {
		case item.ShortTag() != "!!str":
			r.bad(item, name, "is read as "+yamlKind(item.ShortTag())+" and not as text: quote it")
		case strings.TrimSpace(item.Value) == "" || strings.Contains(item.Value, ","):
			r.bad(item, name, "must be one value without a comma")
		}
		items = append(items, item.Value)
	}
	if len(items) == 0 {
		r.bad(n, key, "is an empty list: give a value, or take the line out")
	}
	r.texts[key] = strings.Join(items, ",")
}

// voters checks the structure of the list of members. The values are checked with the other settings.
func (r *yamlReader) voters(n *yaml.Node) {
	if n.Kind != yaml.SequenceNode {
		r.bad(n, "voters", "must be a list of members, each with id, peer and api")
		return
	}
	for i, v := range n.Content {
		v = resolved(v)
		key := fmt.Sprintf("voters[%d]", i)
		if v.Kind != yaml.MappingNode {
			r.bad(v, key, "must have id, peer and api")
			continue
		}
		for j := 0; j+1 < len(v.Content); j += 2 {
			name, value := v.Content[j], resolved(v.Content[j+1])
			switch {
			case !slices.Contains([]string{"id", "peer", "api"}, name.Value):
				r.bad(name, key, fmt.Sprintf("unknown member %q; known are id, peer, api", name.Value))
			case value.ShortTag() != "!!str":
				r.bad(value, key+"."+name.Value, "is read as "+yamlKind(value.ShortTag())+" and not as text: quote it")
			}
		}
	}
}
