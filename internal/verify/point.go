package verify

import "math/big"

// fieldPrime is 2^255 - 19, curveD the constant of the Edwards curve of RFC 8032.
var (
	fieldPrime = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	curveD     = func() *big.Int {
		d := new(big.Int).ModInverse(big.NewInt(121666), fieldPrime)
		d.Mul(d, big.NewInt(-121665))
		return d.Mod(d, fieldPrime)
	}()
)

// usablePoint reports whether pub is the canonical encoding (RFC 8032, 5.1.3) of a point of the curve that is
// not of small order. It runs when a key is loaded. It is not constant-time and works on public values only.
func usablePoint(pub []byte) bool {
	x, y, ok := decodePoint(pub)
	if !ok {
		return false
	}
	for range 3 { // 8P is the neutral element (0, 1) exactly for small order
		x, y = doublePoint(x, y)
	}
	return x.Sign() != 0 || y.Cmp(big.NewInt(1)) != 0
}

// decodePoint recovers the affine coordinates from the 32-byte encoding.
func decodePoint(pub []byte) (x, y *big.Int, ok bool) {
	if len(pub) != 32 {
		return nil, nil, false
	}
	be := make([]byte, 32)
	for i, b := range pub {
		be[31-i] = b
	}
	sign := be[0] >> 7
	be[0] &= 0x7f
	y = new(big.Int).SetBytes(be)
	if y.Cmp(fieldPrime) >= 0 {
		return nil, nil, false
	}
	// x^2 = (y^2 - 1) / (d y^2 + 1). The denominator is never zero.
	one := big.NewInt(1)
	y2 := mulMod(y, y)
	den := new(big.Int).Add(mulMod(curveD, y2), one)
	x2 := mulMod(new(big.Int).Sub(y2, one), den.ModInverse(den, fieldPrime))
	x = new(big.Int).ModSqrt(x2, fieldPrime)
	if x == nil || x.Sign() == 0 && sign == 1 {
		return nil, nil, false
	}
	if byte(x.Bit(0)) != sign {
		x.Sub(fieldPrime, x)
	}
	return x, y, true
}

// doublePoint adds a point to itself with the complete affine addition law.
func doublePoint(x, y *big.Int) (*big.Int, *big.Int) {
	one := big.NewInt(1)
	xy := mulMod(x, y)
	x2, y2 := mulMod(x, x), mulMod(y, y)
	t := mulMod(curveD, mulMod(x2, y2))
	denX := new(big.Int).Add(one, t)
	denY := new(big.Int).Mod(new(big.Int).Sub(one, t), fieldPrime)
	x3 := mulMod(new(big.Int).Lsh(xy, 1), denX.ModInverse(denX, fieldPrime))
	y3 := mulMod(new(big.Int).Add(y2, x2), denY.ModInverse(denY, fieldPrime))
	return x3, y3
}

func mulMod(a, b *big.Int) *big.Int {
	m := new(big.Int).Mul(a, b)
	return m.Mod(m, fieldPrime)
}
