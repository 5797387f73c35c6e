"""Makes py_bin.json: what Python's own round and json.dumps sign, for records whose r is a multiple of 1/1024.

Run it with CPython 3 from the top of the repository: python3 scripts/golden-py-bin.py > testdata/golden/py_bin.json
"""
import base64, hashlib, hmac, json

KEY = json.load(open("testdata/keys.json"))["hmac"]["hmac-current"]["text"].encode()
ROOT = "abababababababababababababababababababababababababababababababab"


def case(k):
    r, coh = k / 1024, 0.8
    budget = 0.10 + 0.30 * (1 - r) + 0.20 * coh
    shard = "shard-ä" if k % 3 == 1 else "shard-001"  # some with text that json.dumps escapes
    signed = {
        "D_hat": round(1.0, 9), "budget": round(budget, 9), "coh_star": round(coh, 9), "epoch": k, "merkle_root": ROOT,
        "pcs_id": hashlib.sha256(f"{ROOT}|{k}|{shard}".encode()).hexdigest(), "r": round(r, 9), "shard_id": shard,
    }
    payload = json.dumps(signed, sort_keys=True, separators=(",", ":")).encode()
    mac = base64.b64encode(hmac.new(KEY, payload, hashlib.sha256).digest()).decode()
    return {"k": k, "shard_id": shard, "r": [repr(r), repr(round(r, 9))], "budget": [repr(budget), repr(round(budget, 9))], "hmac": mac}


print("[\n" + ",\n".join(json.dumps(case(k), ensure_ascii=False) for k in range(1024)) + "\n]")
