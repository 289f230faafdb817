"""RFC 9180 sealing in base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305, from the RFCs and slow: what a worker
does, written independently of the native core that opens it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct

_P = 2**255 - 19
_KEM_SUITE = b"KEM" + struct.pack(">H", 0x0020)
_HPKE_SUITE = b"HPKE" + struct.pack(">HHH", 0x0020, 0x0001, 0x0003)


def x25519(scalar: bytes, point: bytes) -> bytes:
    """RFC 7748, section 5."""
    k = int.from_bytes(scalar, "little") & ~7 & ((1 << 255) - 1) | (1 << 254)
    u = int.from_bytes(point, "little") & ((1 << 255) - 1)
    x2, z2, x3, z3, swap = 1, 0, u, 1, 0
    for bit in reversed(range(255)):
        now = (k >> bit) & 1
        if swap ^ now:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = now
        a, b, c, d = (x2 + z2) % _P, (x2 - z2) % _P, (x3 + z3) % _P, (x3 - z3) % _P
        aa, bb, da, cb = a * a % _P, b * b % _P, d * a % _P, c * b % _P
        e = (aa - bb) % _P
        x3, z3 = (da + cb) ** 2 % _P, u * (da - cb) ** 2 % _P
        x2, z2 = aa * bb % _P, e * (aa + 121665 * e) % _P
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, _P - 2, _P) % _P).to_bytes(32, "little")


def _extract(salt: bytes, ikm: bytes) -> bytes:
    return hmac.new(salt or bytes(32), ikm, hashlib.sha256).digest()


def _expand(key: bytes, info: bytes, length: int) -> bytes:
    out, block = b"", b""
    for counter in range(1, length // 32 + 2):
        block = hmac.new(key, block + info + bytes([counter]), hashlib.sha256).digest()
        out += block
    return out[:length]


def _labeled_extract(suite: bytes, salt: bytes, label: bytes, ikm: bytes) -> bytes:
    return _extract(salt, b"HPKE-v1" + suite + label + ikm)


def _labeled_expand(suite: bytes, key: bytes, label: bytes, info: bytes, length: int) -> bytes:
    return _expand(key, struct.pack(">H", length) + b"HPKE-v1" + suite + label + info, length)


def _chacha_block(key: bytes, counter: int, nonce: bytes) -> bytes:
    state = [0x61707865, 0x3320646E, 0x79622D32, 0x6B206574, *struct.unpack("<8L", key), counter, *struct.unpack("<3L", nonce)]
    w = list(state)

    def quarter(a: int, b: int, c: int, d: int) -> None:
        for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            w[x] = (w[x] + w[y]) & 0xFFFFFFFF
            w[z] ^= w[x]
            w[z] = (w[z] << turn | w[z] >> (32 - turn)) & 0xFFFFFFFF

    for _ in range(10):
        for column in range(4):
            quarter(column, column + 4, column + 8, column + 12)
        for column in range(4):
            quarter(column, 4 + (column + 1) % 4, 8 + (column + 2) % 4, 12 + (column + 3) % 4)
    return struct.pack("<16L", *((a + b) & 0xFFFFFFFF for a, b in zip(w, state, strict=True)))


def _pad(data: bytes) -> bytes:
    return data + bytes(-len(data) % 16)


def chacha20_poly1305(key: bytes, nonce: bytes, aad: bytes, plaintext: bytes) -> bytes:
    """RFC 8439, section 2.8."""
    blocks = (_chacha_block(key, 1 + at, nonce) for at in range(-(-len(plaintext) // 64)))
    ciphertext = bytes(a ^ b for a, b in zip(plaintext, b"".join(blocks), strict=False))
    one_time = _chacha_block(key, 0, nonce)[:32]
    r = int.from_bytes(one_time[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    message = _pad(aad) + _pad(ciphertext) + struct.pack("<QQ", len(aad), len(ciphertext))
    total = 0
    for at in range(0, len(message), 16):
        total = (total + int.from_bytes(message[at : at + 16] + b"\1", "little")) * r % (2**130 - 5)
    tag = (total + int.from_bytes(one_time[16:], "little")) & ((1 << 128) - 1)
    return ciphertext + tag.to_bytes(16, "little")


def seal(receiver: str, ikm: bytes, info: bytes, aad: bytes, plaintext: bytes) -> bytes:
    """`enc` and ciphertext for the base64 key of a receiver; the ephemeral key is DeriveKeyPair(ikm)."""
    public = base64.b64decode(receiver)
    secret = _labeled_expand(_KEM_SUITE, _labeled_extract(_KEM_SUITE, b"", b"dkp_prk", ikm), b"sk", b"", 32)
    enc = x25519(secret, (9).to_bytes(32, "little"))
    eae_prk = _labeled_extract(_KEM_SUITE, b"", b"eae_prk", x25519(secret, public))
    shared = _labeled_expand(_KEM_SUITE, eae_prk, b"shared_secret", enc + public, 32)
    context = b"\0" + _labeled_extract(_HPKE_SUITE, b"", b"psk_id_hash", b"") + _labeled_extract(_HPKE_SUITE, b"", b"info_hash", info)
    key_secret = _labeled_extract(_HPKE_SUITE, shared, b"secret", b"")
    key = _labeled_expand(_HPKE_SUITE, key_secret, b"key", context, 32)
    nonce = _labeled_expand(_HPKE_SUITE, key_secret, b"base_nonce", context, 12)
    return enc + chacha20_poly1305(key, nonce, aad, plaintext)
