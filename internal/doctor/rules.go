package doctor

import (
	"fmt"
	"time"
)

// rule judges metrics of one node. judge returns "" as the text when nothing is wrong.
type rule struct {
	check string
	judge func(s samples, now time.Time) (severity, text string)
	next  string
	there bool // next is for the machine of the node
	page  string
}

var rules = []rule{
	{checkDisk, diskLow, "df -h", true, "runbooks/full-disk.md"},
	{checkBallast, ballastGone, "df -h", true, "runbooks/full-disk.md"},
	{checkClock, clockOff, "timedatectl", true, "runbooks/wrong-clock.md"},
	{checkLag, foldsLate, "recount cluster status", false, "runbooks/lost-node.md"},
	{checkMember, above("flk_refused_by_members", Critical,
		"the other members refuse it: it lost its disk, or its settings name other voters"),
		"recount cluster status --all-views", false, "runbooks/lost-node.md"},
	{checkSecrets, above("flk_key_files_failed", Critical,
		"it could not read its key files again and keeps the earlier keys"),
		"recount-node config check --config /etc/recount/config.yaml", true, "secrets.md"},
	{checkCertificate, certificateEnds, "recount-node config check --config /etc/recount/config.yaml", true,
		"runbooks/expired-certificate.md"},
	{checkCertificate, certificateRefused, "recount-node config check --config /etc/recount/config.yaml", true,
		"runbooks/expired-certificate.md"},
	{checkStore, above("flk_wal_errors", Critical, "it could not write its event log and stops"),
		"dmesg", true, "runbooks/stuck-disk.md"},
	{checkStore, above("flk_damaged_stores_total", Warning,
		"since it started it could not read a folded state and folded it again: check its disk"),
		"dmesg", true, "runbooks/damage.md"},
	{checkScrub, neverScrubbed, "recount-node config view --config /etc/recount/config.yaml", true,
		"runbooks/damage.md"},
	{checkLines, above("flk_log_lines_dropped_total", Warning,
		"lines of its log were lost since it started: nobody reads its standard error, or too slowly"),
		"systemctl status systemd-journald", true, "architecture.md#looking-at-a-node"},
	{checkLines, above("flk_audit_dropped_total", Critical,
		"lines of its audit stream were lost since it started"), "df -h", true,
		"audit-logging.md#what-can-be-lost"},
	{checkFacts, above("flk_false_facts_total", Critical,
		"nodes handed over records that are not signed as they say: one is broken or compromised"),
		"recount digest", false, "architecture.md#what-happens-when"},
	{checkYield, above("flk_yielding", Warning,
		"it does not lead because it cannot take submissions; another node does"),
		"recount cluster status", false, "architecture.md#what-happens-when"},
}

// above finds a metric that is above zero. Repeated kinds of one metric are added up.
func above(name, severity, text string) func(samples, time.Time) (string, string) {
	return func(s samples, _ time.Time) (string, string) {
		if s.sum(name) > 0 {
			return severity, text
		}
		return "", ""
	}
}

func diskLow(s samples, _ time.Time) (string, string) {
	free, known := s.get("flk_disk_free_bytes")
	needed, _ := s.get("flk_disk_needed_bytes")
	const mib = 1 << 20
	switch {
	case !known:
	case free < needed:
		return Critical, fmt.Sprintf("%.0f MiB of disk are free and submissions need %.0f: it refuses them",
			free/mib, needed/mib)
	case free < 4*needed:
		return Warning, fmt.Sprintf("%.0f MiB of disk are free; below %.0f it refuses submissions", free/mib,
			needed/mib)
	}
	return "", ""
}

func ballastGone(s samples, _ time.Time) (string, string) {
	if missing, _ := s.get("flk_ballast_missing_bytes"); missing > 0 {
		return Warning, fmt.Sprintf("%.0f MiB of its reserve of disk space are missing; it makes the reserve "+
			"again when there is room", missing/(1<<20))
	}
	return "", ""
}

func clockOff(s samples, _ time.Time) (string, string) {
	ok, known := s.get("flk_clock_ok")
	offset, _ := s.get("flk_clock_offset_seconds")
	switch {
	case !known:
	case ok == 0:
		return Critical, fmt.Sprintf("its clock is %.3f s from that of a majority of the voters", offset)
	case offset > 1 || offset < -1:
		return Warning, fmt.Sprintf("its clock is %.3f s from that of a majority of the voters", offset)
	}
	return "", ""
}

func foldsLate(s samples, _ time.Time) (string, string) {
	if lag, _ := s.get("flk_fold_lag_entries"); lag > LagEntries {
		return Warning, fmt.Sprintf("it has not folded %.0f committed entries: it answers late or not at all", lag)
	}
	return "", ""
}

func certificateEnds(s samples, _ time.Time) (severity, text string) {
	first := CertificateSoon
	for _, x := range s["flk_tls_certificate_expiry_seconds"] {
		left := time.Duration(x.value * float64(time.Second))
		if left >= first {
			continue
		}
		first, severity = left, Warning
		if left < CertificateSooner {
			severity = Critical
		}
		text = fmt.Sprintf("its %s certificate ends in %d days: then nobody can connect", x.label("certificate"),
			int(left/(24*time.Hour)))
		if left <= 0 {
			text = fmt.Sprintf("its %s certificate has expired: new connections are refused", x.label("certificate"))
		}
	}
	return severity, text
}

func certificateRefused(s samples, _ time.Time) (string, string) {
	for _, x := range s["flk_tls_reloads_total"] {
		if x.label("result") == "refused" && x.value > 0 {
			return Warning, "since it started it did not take new files of its " + x.label("certificate") +
				" certificate and kept the earlier ones"
		}
	}
	return "", ""
}

// neverScrubbed compares the time since the start with the examinations of the whole log.
func neverScrubbed(s samples, now time.Time) (string, string) {
	scrubs, known := s.get("flk_log_scrubs_total")
	started, timed := s.get("process_start_time_seconds")
	up := now.Sub(time.Unix(int64(started), 0))
	if !known || !timed || scrubs > 0 || up < ScrubWithin {
		return "", ""
	}
	return Warning, fmt.Sprintf("it has run for %d days and has not once read its whole log: damage on its disk "+
		"would stay unnoticed", int(up/(24*time.Hour)))
}
