package event

func sampleOp() *OpV1 {
	return &OpV1{OpId: "o", Actor: "a", Reason: "r", Ticket: "T-1", RequestId: "q", Node: "n", Role: "operator", Credential: "token:i"}
}

func sampleSub() Sub {
	return Sub{Salt: salt, Body: []byte(`{"a":1}`), ReceivedAt: 1700000000000000000, Node: "n1", Remote: "10.0.0.1:99",
		RequestID: "r-1", Facts: Facts{KeyID: "hmac-0011", Alg: 1, Profile: 8, Mode: 2}}
}
