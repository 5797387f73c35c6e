package node

// ReloadCertificates makes the node read the certificate files of both ports now, changed or not. It returns at
// once, and the log tells the result.
func (n *Node) ReloadCertificates() { n.certWatch.Reload() }

// Reopen opens the file of the audit stream again, after its name was moved away.
func (n *Node) Reopen() { n.audit.stream.Reopen() }
