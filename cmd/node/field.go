package main

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/when"
)

// kind names the values that a setting may have in YAML besides a string.
type kind int

const (
	kindText   kind = iota // none
	kindList               // a sequence of strings; as text, they are separated by commas
	kindBool               // true or false
	kindNumber             // a number
)

// field is the place of a setting in node.Config. A setting without one has neither set nor format.
type field struct {
	kind   kind
	set    func(c *node.Config, text string) error // reads the text, which is not empty
	format func(c *node.Config) string             // the text that set would read as the present value, "" for none
}

// text is a field that takes the text as it is.
func text(at func(*node.Config) *string) field {
	return field{
		set:    func(c *node.Config, text string) error { *at(c) = text; return nil },
		format: func(c *node.Config) string { return *at(c) },
	}
}

func boolean(at func(*node.Config) *bool) field {
	return field{
		kind: kindBool,
		set: func(c *node.Config, text string) error {
			b, err := strconv.ParseBool(text)
			if err != nil {
				return fmt.Errorf("%q is neither true nor false", text)
			}
			*at(c) = b
			return nil
		},
		format: func(c *node.Config) string { return strconv.FormatBool(*at(c)) },
	}
}

// not is a boolean whose setting is the opposite of the field.
func not(at func(*node.Config) *bool) field {
	f := boolean(at)
	return field{
		kind: f.kind,
		set: func(c *node.Config, text string) error {
			err := f.set(c, text)
			if err == nil {
				*at(c) = !*at(c)
			}
			return err
		},
		format: func(c *node.Config) string { return strconv.FormatBool(!*at(c)) },
	}
}

func number[T int | int64 | float64](at func(*node.Config) *T, parse func(string) (T, error)) field {
	return field{
		kind: kindNumber,
		set: func(c *node.Config, text string) error {
			n, err := parse(text)
			if err != nil {
				return fmt.Errorf("%q is not a number", text)
			}
			*at(c) = n
			return nil
		},
		format: func(c *node.Config) string { return fmt.Sprint(*at(c)) },
	}
}

func parseFloat(s string) (float64, error) { return strconv.ParseFloat(s, 64) }

func parseInt(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) }

func span(at func(*node.Config) *time.Duration) field {
	return field{
		kind: kindNumber, // 0 has no unit
		set: func(c *node.Config, text string) error {
			d, err := when.Span(text)
			if err != nil {
				return fmt.Errorf("%q: %w", text, err)
			}
			*at(c) = d
			return nil
		},
		format: func(c *node.Config) string { return when.Text(*at(c)) },
	}
}

func moment(at func(*node.Config) *time.Time) field {
	return field{set: func(c *node.Config, text string) error {
		t, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return fmt.Errorf("%q is no time such as 2006-01-02T15:04:05Z", text)
		}
		*at(c) = t
		return nil
	}}
}

// derived is a field whose default depends on other settings.
func derived(f field) field {
	f.format = nil
	return f
}

func profiles() field {
	return field{
		kind: kindList,
		set: func(c *node.Config, text string) error {
			var errs []error
			c.Profiles = 0
			for _, name := range split(text) {
				profile, err := pcs.ParseProfile(name)
				if err != nil {
					errs = append(errs, err)
					continue
				}
				c.Profiles |= pcs.ProfilesOf(profile)
			}
			return errors.Join(errs...)
		},
		format: func(c *node.Config) string { return profileNames(c.Profiles) },
	}
}

func profileNames(set pcs.ProfileSet) string {
	var names []string
	for _, p := range set.Slice() {
		names = append(names, p.String())
	}
	return strings.Join(names, ",")
}

func proxies() field {
	return field{kind: kindList, set: func(c *node.Config, text string) error {
		var errs []error
		for _, part := range split(text) {
			p, err := parseProxy(part)
			errs = append(errs, err)
			c.TrustedProxies = append(c.TrustedProxies, p)
		}
		return errors.Join(errs...)
	}}
}

// parseProxy parses 10.0.0.0/8, or one address. It rejects bits after the prefix, which are usually a mistake.
func parseProxy(text string) (netip.Prefix, error) {
	text = strings.TrimSpace(text)
	p, err := netip.ParsePrefix(text)
	if a, addrErr := netip.ParseAddr(text); addrErr == nil && a.Zone() == "" {
		p, err = netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
	}
	switch {
	case err != nil:
		return p, fmt.Errorf("%q is neither a network such as 10.1.0.0/16 nor an address", text)
	case p.Addr().Is4In6():
		return p, fmt.Errorf("write %q as an IPv4 network", text)
	case p != p.Masked():
		return p, fmt.Errorf("%q has bits behind its prefix; the network is %s", text, p.Masked())
	}
	return p, nil
}
