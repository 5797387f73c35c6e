package incident

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/recount-ledger/recount/internal/term"
	"github.com/recount-ledger/recount/wire"
)

// The plot, in units of its view box.
const (
	plotWidth, plotHeight = 720, 180
	plotLeft, plotTop     = 46, 8
	plotFoot              = 18 // space for the dates below
	mostBars              = 120
	mostColors            = 6 // outcomes with their own colour; the last one is for all others
)

// plotTime is the format of times in the plot, in UTC.
const plotTime = "2006-01-02 15:04Z"

// plot has a bar for each hour, or for several hours if the time is long. It needs no scripts.
type plot struct {
	Per           string // time span of a bar
	Width, Height int
	Left, Foot    int
	Below         int // line of the dates
	Bars          []bar
	Legend        []legend
	Ticks         []tick // of the axis on the left
	Dates         []tick // below
}

// bar is one outcome in one span of time.
type bar struct {
	X, Y, Width, Height float64
	Color               int
	Title               string // tooltip
}

type legend struct {
	Color   int
	Outcome string
	Count   int
}

type tick struct {
	At    float64
	Label string
}

// spans are the possible time spans of a bar.
var spans = []struct {
	length time.Duration
	name   string
}{{time.Hour, "hour"}, {3 * time.Hour, "3 hours"}, {6 * time.Hour, "6 hours"}, {24 * time.Hour, "day"},
	{7 * 24 * time.Hour, "week"},
	{28 * 24 * time.Hour, "4 weeks"}, {364 * 24 * time.Hour, "52 weeks"}}

// bins holds the counts of each span, starting with the first hour.
type bins struct {
	start  time.Time
	length time.Duration
	name   string
	counts []map[string]int
}

// Plot draws the hours of a tally. It returns nil if there are none.
func (t *Tally) Plot() *plot {
	b := binned(t.Hours)
	if b == nil {
		return nil
	}
	p := &plot{
		Per:    b.name,
		Width:  plotWidth,
		Height: plotHeight,
		Left:   plotLeft,
		Foot:   plotHeight - plotFoot,
		Below:  plotHeight - 4,
	}
	outcomes := slices.SortedFunc(maps.Keys(t.ByOutcome), func(x, y string) int {
		if n := t.ByOutcome[y] - t.ByOutcome[x]; n != 0 {
			return n
		}
		return slices.Compare([]byte(x), []byte(y))
	})
	for i, outcome := range outcomes {
		p.Legend = append(p.Legend, legend{Color: min(i, mostColors-1), Outcome: outcome, Count: t.ByOutcome[outcome]})
	}
	top := 0
	for _, counts := range b.counts {
		top = max(top, total(counts))
	}
	p.draw(b, outcomes, float64(top))
	p.Ticks = []tick{{plotTop, fmt.Sprint(top)}, {float64(p.Foot), "0"}}
	end := b.start.Add(time.Duration(len(b.counts)) * b.length)
	p.Dates = []tick{{plotLeft, b.start.Format(plotTime)}, {plotWidth, end.Format(plotTime)}}
	return p
}

func (p *plot) draw(b *bins, outcomes []string, top float64) {
	width := float64(plotWidth-plotLeft) / float64(len(b.counts))
	scale := float64(p.Foot-plotTop) / top
	for i, counts := range b.counts {
		y := float64(p.Foot)
		for color, outcome := range outcomes {
			n := counts[outcome]
			if n == 0 {
				continue
			}
			height := float64(n) * scale
			y -= height
			at := b.start.Add(time.Duration(i) * b.length)
			p.Bars = append(p.Bars,
				bar{X: plotLeft + float64(i)*width, Y: y, Width: max(width-1, width/2), Height: height,
					Color: min(color, mostColors-1),
					Title: fmt.Sprintf("%s: %d %s", at.Format(plotTime), n, term.Visible(outcome)),
				})
		}
	}
}

// binned groups hours into the shortest spans that keep the number of bars small enough.
func binned(hours []Hour) *bins {
	if len(hours) == 0 {
		return nil
	}
	first, errFirst := wire.ParseTime(hours[0].Start)
	last, errLast := wire.ParseTime(hours[len(hours)-1].Start)
	if errFirst != nil || errLast != nil || last.Before(first) {
		return nil
	}
	b := &bins{start: first.UTC()}
	for _, s := range spans {
		b.length, b.name = s.length, s.name
		if last.Sub(first)/s.length < mostBars {
			break
		}
	}
	b.counts = make([]map[string]int, min(int(last.Sub(first)/b.length)+1, mostBars))
	for _, h := range hours {
		at, err := wire.ParseTime(h.Start)
		if err != nil {
			return nil
		}
		i := min(max(int(at.Sub(first)/b.length), 0), len(b.counts)-1)
		if b.counts[i] == nil {
			b.counts[i] = map[string]int{}
		}
		for outcome, n := range h.ByOutcome {
			b.counts[i][outcome] += n
		}
	}
	return b
}

func total(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}
