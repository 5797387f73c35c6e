package term

// Style is a colour of a terminal, as the number of its escape sequence.
type Style string

// The styles in use.
const (
	Plain  Style = ""
	Bold   Style = "1"
	Dim    Style = "2"
	Red    Style = "31"
	Green  Style = "32"
	Yellow Style = "33"
)

// Paint wraps a text in the style.
func (s Style) Paint(text string) string {
	if s == Plain || text == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

// words gives each word of a closed set its colour, the same in every table. Texts that come from records are
// never looked up.
var words = map[string]Style{
	"refused": Red, "rejected": Red, "unreachable": Red, "no answer": Red, "failed": Red,
	"revoked": Red, "compromised": Red, "let through": Red, "different": Red,
	"not ready": Red, "suspended": Red, "critical": Red,
	"escalated": Yellow, "escalated, not accepted": Yellow, "conflict": Yellow, "building": Yellow,
	"expired": Yellow, "retired": Yellow, "frozen": Yellow, "holds": Yellow,
	"behind": Yellow, "paused": Yellow, "waiting": Yellow, "warning": Yellow,
	"accepted": Green, "active": Green, "ready": Green, "ok": Green, "leader": Green, "serving": Green,
	"dropped": Dim, "thawed": Dim, "-": Dim,
}

// WordStyle is the colour of a word of a closed set.
func WordStyle(word string) Style { return words[word] }
