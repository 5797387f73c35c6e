package api

import "context"

type pinKey struct{}

// pin makes all parts of a read with ctx use one generation, even if another one is activated meanwhile.
func pin(ctx context.Context, generation uint32) context.Context {
	return context.WithValue(ctx, pinKey{}, generation)
}

// PinnedGeneration returns the generation whose position WaitRead returned for this read, or 0 if none was
// requested.
func PinnedGeneration(ctx context.Context) uint32 {
	g, _ := ctx.Value(pinKey{}).(uint32)
	return g
}
