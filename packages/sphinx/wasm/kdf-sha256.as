/**
 * HMAC-SHA256 (RFC 2104, FIPS 180-4) and HKDF-SHA256 (RFC 5869) with a fixed salt and info, in AssemblyScript, for the
 * crypto provider on sodium-native: libsodium's binding for Node.js has neither, and node:crypto's calls cost more than
 * the hashing. Built into `src/crypto/kdf-sha256.wasm.ts` by `build.mjs`.
 *
 * Salt and info of Sphinx never change, so the blocks made of nothing else are expanded once, by `prepare`: in
 * HKDF's expand step T(i) = HMAC(PRK, T(i−1) ‖ info ‖ i) only the first block of each T holds something new.
 *
 * No allocation, no imports: the caller writes at INPUT and reads at OUTPUT. Lengths are the caller's duty.
 */

/** Round constants: the first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
const K = memory.data<u32>([
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
  0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
  0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
  0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
  0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
  0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
  0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
])

/** Initial state: the same of the square roots of the first 8 primes. */
const INITIAL = memory.data<u32>([
  0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
])

const BLOCK: usize = 64
const STATE: usize = 32
/** One expanded block: 64 words, round constants added. */
const SCHEDULE: usize = 256

/** Two key derivations can be prepared; each has room for 9 output blocks of 3 message blocks. */
const MAX_OUTPUTS: usize = 9
const MAX_BLOCKS: usize = 3
const SALT_INNER: usize = 0
const SALT_OUTER: usize = STATE
const COUNTS: usize = 2 * STATE
const SCHEDULES: usize = COUNTS + 16
const SLOT: usize = SCHEDULES + MAX_OUTPUTS * MAX_BLOCKS * SCHEDULE

/** 2048 bytes for arguments. */
export const INPUT: usize = memory.data(2048, 16)
/** 288 bytes for results. */
export const OUTPUT: usize = memory.data(288, 16)

const SLOTS = memory.data(2 * (2 * 32 + 16 + 9 * 3 * 256), 16)
const WORDS = memory.data(256, 16)
const SCRATCH_SCHEDULE = memory.data(256, 16)
const INNER = memory.data(32, 16)
const OUTER = memory.data(32, 16)
const DIGEST = memory.data(32, 16)
/** Room for the padded message of one T. */
const MESSAGE = memory.data(192, 16)

@inline
function schedule(target: usize): void {
  // Expands the 16 words at WORDS.
  for (let t: usize = 0; t < 64; t += 4) {
    store<u32>(target + t, load<u32>(WORDS + t) + load<u32>(K + t))
  }
  for (let t: usize = 64; t < 256; t += 4) {
    const w2 = load<u32>(WORDS + t - 8)
    const w15 = load<u32>(WORDS + t - 60)
    const s0 = rotr<u32>(w15, 7) ^ rotr<u32>(w15, 18) ^ (w15 >> 3)
    const s1 = rotr<u32>(w2, 17) ^ rotr<u32>(w2, 19) ^ (w2 >> 10)
    const w = load<u32>(WORDS + t - 64) + s0 + load<u32>(WORDS + t - 28) + s1
    store<u32>(WORDS + t, w)
    store<u32>(target + t, w + load<u32>(K + t))
  }
}

@inline
function mix(e: u32, f: u32, g: u32): u32 {
  return (rotr<u32>(e, 6) ^ rotr<u32>(e, 11) ^ rotr<u32>(e, 25)) + (g ^ (e & (f ^ g)))
}

@inline
function blend(a: u32, b: u32, c: u32): u32 {
  return (rotr<u32>(a, 2) ^ rotr<u32>(a, 13) ^ rotr<u32>(a, 22)) + ((a & b) | (c & (a | b)))
}

/** The 64 rounds from the state at `from` over an expanded block; the new state goes to `to`. */
function rounds(from: usize, to: usize, expanded: usize): void {
  let a = load<u32>(from)
  let b = load<u32>(from, 4)
  let c = load<u32>(from, 8)
  let d = load<u32>(from, 12)
  let e = load<u32>(from, 16)
  let f = load<u32>(from, 20)
  let g = load<u32>(from, 24)
  let h = load<u32>(from, 28)
  const end = expanded + SCHEDULE
  // Eight rounds a turn, so that the working variables change names instead of places.
  for (let at = expanded; at < end; at += 32) {
    h += mix(e, f, g) + load<u32>(at)
    d += h
    h += blend(a, b, c)
    g += mix(d, e, f) + load<u32>(at, 4)
    c += g
    g += blend(h, a, b)
    f += mix(c, d, e) + load<u32>(at, 8)
    b += f
    f += blend(g, h, a)
    e += mix(b, c, d) + load<u32>(at, 12)
    a += e
    e += blend(f, g, h)
    d += mix(a, b, c) + load<u32>(at, 16)
    h += d
    d += blend(e, f, g)
    c += mix(h, a, b) + load<u32>(at, 20)
    g += c
    c += blend(d, e, f)
    b += mix(g, h, a) + load<u32>(at, 24)
    f += b
    b += blend(c, d, e)
    a += mix(f, g, h) + load<u32>(at, 28)
    e += a
    a += blend(b, c, d)
  }
  store<u32>(to, a + load<u32>(from))
  store<u32>(to, b + load<u32>(from, 4), 4)
  store<u32>(to, c + load<u32>(from, 8), 8)
  store<u32>(to, d + load<u32>(from, 12), 12)
  store<u32>(to, e + load<u32>(from, 16), 16)
  store<u32>(to, f + load<u32>(from, 20), 20)
  store<u32>(to, g + load<u32>(from, 24), 24)
  store<u32>(to, h + load<u32>(from, 28), 28)
}

/** Compress the 16 words at WORDS. */
function compressWords(from: usize, to: usize): void {
  schedule(SCRATCH_SCHEDULE)
  rounds(from, to, SCRATCH_SCHEDULE)
}

/** 64 bytes to the 16 words at WORDS. */
function loadWords(block: usize): void {
  for (let t: usize = 0; t < BLOCK; t += 4) store<u32>(WORDS + t, bswap<u32>(load<u32>(block + t)))
}

/** 32 bytes; the engine's own copy is a call, too dear for so few. */
@inline
function copyState(to: usize, from: usize): void {
  store<u64>(to, load<u64>(from))
  store<u64>(to, load<u64>(from, 8), 8)
  store<u64>(to, load<u64>(from, 16), 16)
  store<u64>(to, load<u64>(from, 24), 24)
}

/** States of HMAC after its first blocks, the key's of at most 64 bytes XOR 36 and 5c. */
function keyStates(key: usize, keyLength: usize, inner: usize, outer: usize): void {
  memory.fill(MESSAGE, 0, BLOCK)
  memory.copy(MESSAGE, key, keyLength)
  loadWords(MESSAGE)
  for (let t: usize = 0; t < BLOCK; t += 4) store<u32>(WORDS + t, load<u32>(WORDS + t) ^ 0x36363636)
  compressWords(INITIAL, inner)
  loadWords(MESSAGE)
  for (let t: usize = 0; t < BLOCK; t += 4) store<u32>(WORDS + t, load<u32>(WORDS + t) ^ 0x5c5c5c5c)
  compressWords(INITIAL, outer)
}

/** The same for a key of 32 bytes that stands as state words at `key`. */
function keyStatesOfWords(key: usize, inner: usize, outer: usize): void {
  for (let t: usize = 0; t < STATE; t += 4) {
    store<u32>(WORDS + t, load<u32>(key + t) ^ 0x36363636)
    store<u32>(WORDS + STATE + t, 0x36363636)
  }
  compressWords(INITIAL, inner)
  for (let t: usize = 0; t < STATE; t += 4) {
    store<u32>(WORDS + t, load<u32>(key + t) ^ 0x5c5c5c5c)
    store<u32>(WORDS + STATE + t, 0x5c5c5c5c)
  }
  compressWords(INITIAL, outer)
}

/** HMAC's last step: the inner digest (state words) as a message of one block after the outer key block. */
function finishOuter(outer: usize, innerDigest: usize, to: usize): void {
  copyState(WORDS, innerDigest)
  store<u64>(WORDS, 0x80000000, 32)
  store<u64>(WORDS, 0, 40)
  store<u64>(WORDS, 0, 48)
  store<u64>(WORDS, u64((BLOCK + STATE) * 8) << 32, 56)
  compressWords(outer, to)
}

/** SHA-256's padding of a message that follows one key block: 80, zeros, the length in bits. Gives the padded length. */
function pad(message: usize, length: usize): usize {
  const padded = (length + 9 + BLOCK - 1) & ~(BLOCK - 1)
  store<u8>(message + length, 0x80)
  memory.fill(message + length + 1, 0, padded - length - 9)
  store<u64>(message + padded - 8, bswap<u64>(u64((BLOCK + length) * 8)))
  return padded
}

function storeDigest(words: usize, to: usize): void {
  for (let t: usize = 0; t < STATE; t += 4) store<u32>(to + t, bswap<u32>(load<u32>(words + t)))
}

/** HMAC-SHA256: key (at most 64 bytes) ‖ message (with 72 bytes to spare) at INPUT, 32 bytes to OUTPUT. */
export function hmac(keyLength: usize, messageLength: usize): void {
  keyStates(INPUT, keyLength, INNER, OUTER)
  const message = INPUT + keyLength
  const end = message + pad(message, messageLength)
  for (let block = message; block < end; block += BLOCK) {
    loadWords(block)
    compressWords(INNER, INNER)
  }
  finishOuter(OUTER, INNER, DIGEST)
  storeDigest(DIGEST, OUTPUT)
}

/**
 * Prepare a derivation of `outputs` blocks of 32 bytes (at most 9): salt (at most 64 bytes) ‖ info (at most 110 bytes)
 * at INPUT. Every block of a T that holds no earlier T is expanded; of the first of each later T, whose first 32 bytes
 * are the T before, the words are kept.
 */
export function prepare(slot: usize, saltLength: usize, infoLength: usize, outputs: usize): void {
  const at = SLOTS + slot * SLOT
  const info = INPUT + saltLength
  keyStates(INPUT, saltLength, at + SALT_INNER, at + SALT_OUTER)
  for (let output: usize = 0; output < outputs; output++) {
    const before: usize = output === 0 ? 0 : STATE
    memory.fill(MESSAGE, 0, before)
    memory.copy(MESSAGE + before, info, infoLength)
    store<u8>(MESSAGE + before + infoLength, u8(output + 1))
    const padded = pad(MESSAGE, before + infoLength + 1)
    if (output === 0) store<u32>(at + COUNTS, u32(padded / BLOCK))
    else store<u32>(at + COUNTS, u32(padded / BLOCK), 4)
    for (let block: usize = 0; block < padded / BLOCK; block++) {
      loadWords(MESSAGE + block * BLOCK)
      const to = at + SCHEDULES + (output * MAX_BLOCKS + block) * SCHEDULE
      if (block === 0 && output > 0) memory.copy(to, WORDS, BLOCK)
      else schedule(to)
    }
  }
}

/**
 * HKDF-SHA256 as prepared: key material (at most 55 bytes) at INPUT, 32 bytes per output block to OUTPUT, of which
 * there may be fewer than prepared.
 */
export function derive(slot: usize, length: usize, outputs: usize): void {
  const at = SLOTS + slot * SLOT
  // Extract. DIGEST becomes the PRK, INNER and OUTER its key states.
  memory.copy(MESSAGE, INPUT, length)
  pad(MESSAGE, length)
  loadWords(MESSAGE)
  compressWords(at + SALT_INNER, DIGEST)
  finishOuter(at + SALT_OUTER, DIGEST, DIGEST)
  keyStatesOfWords(DIGEST, INNER, OUTER)
  // Expand.
  for (let output: usize = 0; output < outputs; output++) {
    const expanded = at + SCHEDULES + output * MAX_BLOCKS * SCHEDULE
    const blocks: usize = output === 0 ? load<u32>(at + COUNTS) : load<u32>(at + COUNTS, 4)
    if (output === 0) {
      rounds(INNER, DIGEST, expanded)
    } else {
      copyState(WORDS, DIGEST)
      copyState(WORDS + STATE, expanded + STATE)
      compressWords(INNER, DIGEST)
    }
    for (let block: usize = 1; block < blocks; block++) rounds(DIGEST, DIGEST, expanded + block * SCHEDULE)
    finishOuter(OUTER, DIGEST, DIGEST)
    storeDigest(DIGEST, OUTPUT + output * STATE)
  }
}
