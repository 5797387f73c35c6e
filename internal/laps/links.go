package laps

import "context"

// MostLinks bounds the links that travel with one pack.
const MostLinks = 16

type linksKey struct{}

// AppendLink appends the link of a watch to those of its pack, if it has one and there are fewer than MostLinks.
func (w Watch) AppendLink(links []Link) []Link {
	if w.m == nil || w.m.link == (Link{}) || len(links) >= MostLinks {
		return links
	}
	return append(links, w.m.link)
}

// WithLinks returns a context with which links travel, ctx if there are none.
func WithLinks(ctx context.Context, links []Link) context.Context {
	if len(links) == 0 {
		return ctx
	}
	return context.WithValue(ctx, linksKey{}, links)
}

// Links returns the links that travel with ctx.
func Links(ctx context.Context) []Link {
	links, _ := ctx.Value(linksKey{}).([]Link)
	return links
}
