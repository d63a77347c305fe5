/**
 * HMAC-SHA256 (RFC 2104, FIPS 180-4) and HKDF-SHA256 (RFC 5869) with a fixed salt and info, in AssemblyScript, for the
 * crypto providers: libsodium's bindings have neither, and node:crypto's calls cost more than the hashing. `build.mjs`
 * makes two modules of it: one that hashes a message at a time, and one with SIMD that also hashes four at once, one in
 * each lane of a vector.
 *
 * Salt and info of Sphinx never change, so the blocks made of nothing else are expanded once, by `prepare`: in
 * HKDF's expand step T(i) = HMAC(PRK, T(i−1) ‖ info ‖ i) only the first block of each T holds something new.
 *
 * A word `T` is a `u32`, or a `v128` that holds the word of four messages. Words in memory stand one behind the other.
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

/** Messages that can be hashed at once. */
export const LANES: i32 = ASC_FEATURE_SIMD ? 4 : 1

/** Bytes of a message block and of a digest. */
const BLOCK: usize = 64
const DIGEST: usize = 32

/** Two key derivations can be prepared; each has room for 9 output blocks of 3 message blocks. All in words of 4 bytes. */
const MAX_OUTPUTS: usize = 9
const MAX_BLOCKS: usize = 3
/** One expanded block: 64 words, round constants added. */
const SCHEDULE: usize = 256
const SALT_INNER: usize = 0
const SALT_OUTER: usize = DIGEST
const COUNTS: usize = 2 * DIGEST
const SCHEDULES: usize = COUNTS + 16
const SLOT: usize = SCHEDULES + MAX_OUTPUTS * MAX_BLOCKS * SCHEDULE

/** Arguments of each lane. */
const LANE_INPUT: usize = 2048
/** Results of each lane. */
const LANE_OUTPUT: usize = 288

export const INPUT: usize = memory.data(4 * 2048, 16)
export const OUTPUT: usize = memory.data(4 * 288, 16)

const SLOTS = memory.data(2 * (2 * 32 + 16 + 9 * 3 * 256), 16)
/** Bytes of a message that is made here: of one T, or the key of each lane. */
const MESSAGE = memory.data(256, 16)
// Words of all lanes.
const WORDS = memory.data(4 * 256, 16)
const EXPANDED = memory.data(4 * 256, 16)
const KEY = memory.data(4 * 64, 16)
const STATE = memory.data(4 * 32, 16)
const INNER = memory.data(4 * 32, 16)
const OUTER = memory.data(4 * 32, 16)

@inline
function add<T>(a: T, b: T): T {
  if (isVector<T>()) return v128.add<u32>(a, b)
  else return a + b
}

@inline
function xor<T>(a: T, b: T): T {
  if (isVector<T>()) return v128.xor(a, b)
  else return a ^ b
}

@inline
function and<T>(a: T, b: T): T {
  if (isVector<T>()) return v128.and(a, b)
  else return a & b
}

@inline
function or<T>(a: T, b: T): T {
  if (isVector<T>()) return v128.or(a, b)
  else return a | b
}

@inline
function shiftRight<T>(a: T, bits: i32): T {
  if (isVector<T>()) return v128.shr<u32>(a, bits)
  else return a >> bits
}

@inline
function rotateRight<T>(a: T, bits: i32): T {
  if (isVector<T>()) return v128.or(v128.shr<u32>(a, bits), v128.shl<u32>(a, 32 - bits))
  else return rotr<u32>(a, bits)
}

@inline
function reverseBytes<T>(a: T): T {
  if (isVector<T>()) return v128.shuffle<u8>(a, a, 3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12)
  else return bswap<u32>(a)
}

/** The same word in all lanes. */
@inline
function splat<T>(word: u32): T {
  if (isVector<T>()) return v128.splat<u32>(word)
  else return word
}

/** A word `T` of what stands in memory as words `S`: the same, or one `u32` for all lanes. */
@inline
function wordAt<T, S>(at: usize, offset: usize): T {
  if (isVector<T>() && !isVector<S>()) return v128.load_splat<u32>(at + offset)
  else return load<T>(at + offset)
}

/** `count` words from S to T. */
@inline
function copy<T, S>(to: usize, from: usize, count: usize): void {
  for (let i: usize = 0; i < count; i++) store<T>(to + i * sizeof<T>(), wordAt<T, S>(from, i * sizeof<S>()))
}

/** 64 bytes of each lane to the 16 words at `to`; `stride` bytes lie between two lanes. */
function loadBlock<T>(to: usize, block: usize, stride: usize): void {
  for (let i: usize = 0; i < 16; i++) {
    const at = block + 4 * i
    if (isVector<T>()) {
      let words = v128.load_zero<u32>(at)
      words = v128.load_lane<u32>(at + stride, words, 1)
      words = v128.load_lane<u32>(at + 2 * stride, words, 2)
      words = v128.load_lane<u32>(at + 3 * stride, words, 3)
      store<T>(to + i * sizeof<T>(), reverseBytes<T>(words))
    } else {
      store<T>(to + i * sizeof<T>(), reverseBytes<T>(load<T>(at)))
    }
  }
}

/** The digest of each lane, 32 bytes, to `to`, from where LANE_OUTPUT bytes lie between two lanes. */
function storeDigest<T>(to: usize): void {
  for (let i: usize = 0; i < 8; i++) {
    const words = reverseBytes<T>(load<T>(STATE + i * sizeof<T>()))
    const at = to + 4 * i
    if (isVector<T>()) {
      v128.store_lane<u32>(at, words, 0)
      v128.store_lane<u32>(at + LANE_OUTPUT, words, 1)
      v128.store_lane<u32>(at + 2 * LANE_OUTPUT, words, 2)
      v128.store_lane<u32>(at + 3 * LANE_OUTPUT, words, 3)
    } else {
      store<T>(at, words)
    }
  }
}

/** Expands the 16 words at WORDS. */
@inline
function schedule<T>(target: usize): void {
  for (let t: usize = 0; t < 16; t++) {
    const word = load<T>(WORDS + t * sizeof<T>())
    store<T>(target + t * sizeof<T>(), add<T>(word, wordAt<T, u32>(K, 4 * t)))
  }
  for (let t: usize = 16; t < 64; t++) {
    const at = WORDS + t * sizeof<T>()
    const w2 = load<T>(at - 2 * sizeof<T>())
    const w15 = load<T>(at - 15 * sizeof<T>())
    const s0 = xor<T>(xor<T>(rotateRight<T>(w15, 7), rotateRight<T>(w15, 18)), shiftRight<T>(w15, 3))
    const s1 = xor<T>(xor<T>(rotateRight<T>(w2, 17), rotateRight<T>(w2, 19)), shiftRight<T>(w2, 10))
    const word = add<T>(add<T>(load<T>(at - 16 * sizeof<T>()), s0), add<T>(load<T>(at - 7 * sizeof<T>()), s1))
    store<T>(at, word)
    store<T>(target + t * sizeof<T>(), add<T>(word, wordAt<T, u32>(K, 4 * t)))
  }
}

@inline
function mix<T>(e: T, f: T, g: T): T {
  const sum = xor<T>(xor<T>(rotateRight<T>(e, 6), rotateRight<T>(e, 11)), rotateRight<T>(e, 25))
  return add<T>(sum, xor<T>(g, and<T>(e, xor<T>(f, g))))
}

@inline
function blend<T>(a: T, b: T, c: T): T {
  const sum = xor<T>(xor<T>(rotateRight<T>(a, 2), rotateRight<T>(a, 13)), rotateRight<T>(a, 22))
  return add<T>(sum, or<T>(and<T>(a, b), and<T>(c, or<T>(a, b))))
}

/** The 64 rounds from the state at `from` over a block that was expanded as words `S`; the new state goes to STATE. */
function rounds<T, S>(from: usize, expanded: usize): void {
  let a = load<T>(from)
  let b = load<T>(from, 1 * sizeof<T>())
  let c = load<T>(from, 2 * sizeof<T>())
  let d = load<T>(from, 3 * sizeof<T>())
  let e = load<T>(from, 4 * sizeof<T>())
  let f = load<T>(from, 5 * sizeof<T>())
  let g = load<T>(from, 6 * sizeof<T>())
  let h = load<T>(from, 7 * sizeof<T>())
  const end = expanded + 64 * sizeof<S>()
  // Eight rounds a turn, so that the working variables change names instead of places.
  for (let at = expanded; at < end; at += 8 * sizeof<S>()) {
    h = add<T>(h, add<T>(mix<T>(e, f, g), wordAt<T, S>(at, 0 * sizeof<S>())))
    d = add<T>(d, h)
    h = add<T>(h, blend<T>(a, b, c))
    g = add<T>(g, add<T>(mix<T>(d, e, f), wordAt<T, S>(at, 1 * sizeof<S>())))
    c = add<T>(c, g)
    g = add<T>(g, blend<T>(h, a, b))
    f = add<T>(f, add<T>(mix<T>(c, d, e), wordAt<T, S>(at, 2 * sizeof<S>())))
    b = add<T>(b, f)
    f = add<T>(f, blend<T>(g, h, a))
    e = add<T>(e, add<T>(mix<T>(b, c, d), wordAt<T, S>(at, 3 * sizeof<S>())))
    a = add<T>(a, e)
    e = add<T>(e, blend<T>(f, g, h))
    d = add<T>(d, add<T>(mix<T>(a, b, c), wordAt<T, S>(at, 4 * sizeof<S>())))
    h = add<T>(h, d)
    d = add<T>(d, blend<T>(e, f, g))
    c = add<T>(c, add<T>(mix<T>(h, a, b), wordAt<T, S>(at, 5 * sizeof<S>())))
    g = add<T>(g, c)
    c = add<T>(c, blend<T>(d, e, f))
    b = add<T>(b, add<T>(mix<T>(g, h, a), wordAt<T, S>(at, 6 * sizeof<S>())))
    f = add<T>(f, b)
    b = add<T>(b, blend<T>(c, d, e))
    a = add<T>(a, add<T>(mix<T>(f, g, h), wordAt<T, S>(at, 7 * sizeof<S>())))
    e = add<T>(e, a)
    a = add<T>(a, blend<T>(b, c, d))
  }
  store<T>(STATE, add<T>(a, load<T>(from)))
  store<T>(STATE, add<T>(b, load<T>(from, 1 * sizeof<T>())), 1 * sizeof<T>())
  store<T>(STATE, add<T>(c, load<T>(from, 2 * sizeof<T>())), 2 * sizeof<T>())
  store<T>(STATE, add<T>(d, load<T>(from, 3 * sizeof<T>())), 3 * sizeof<T>())
  store<T>(STATE, add<T>(e, load<T>(from, 4 * sizeof<T>())), 4 * sizeof<T>())
  store<T>(STATE, add<T>(f, load<T>(from, 5 * sizeof<T>())), 5 * sizeof<T>())
  store<T>(STATE, add<T>(g, load<T>(from, 6 * sizeof<T>())), 6 * sizeof<T>())
  store<T>(STATE, add<T>(h, load<T>(from, 7 * sizeof<T>())), 7 * sizeof<T>())
}

/** Compress the 16 words at WORDS into the state at `from`; the new state goes to STATE. */
function compress<T>(from: usize): void {
  schedule<T>(EXPANDED)
  rounds<T, T>(from, EXPANDED)
}

/** States of HMAC after its first blocks, the 16 words at KEY XOR 36 and 5c, to INNER and OUTER. */
function keyStates<T>(): void {
  keyState<T>(0x36363636)
  copy<T, T>(INNER, STATE, 8)
  keyState<T>(0x5c5c5c5c)
  copy<T, T>(OUTER, STATE, 8)
}

@inline
function keyState<T>(pad: u32): void {
  for (let at: usize = 0; at < 16 * sizeof<T>(); at += sizeof<T>())
    store<T>(WORDS + at, xor<T>(load<T>(KEY + at), splat<T>(pad)))
  copy<T, u32>(STATE, INITIAL, 8)
  compress<T>(STATE)
}

/** HMAC's last step: the inner digest at STATE as a message of one block after the outer key block. */
function finishOuter<T>(): void {
  copy<T, T>(WORDS, STATE, 8)
  store<T>(WORDS + 8 * sizeof<T>(), splat<T>(0x80000000))
  for (let i: usize = 9; i < 15; i++) store<T>(WORDS + i * sizeof<T>(), splat<T>(0))
  store<T>(WORDS + 15 * sizeof<T>(), splat<T>(u32(BLOCK + DIGEST) * 8))
  compress<T>(OUTER)
}

/** SHA-256's padding of a message that follows one key block: 80, zeros, the length in bits. Gives the padded length. */
function pad(message: usize, length: usize): usize {
  const padded = (length + 9 + BLOCK - 1) & ~(BLOCK - 1)
  store<u8>(message + length, 0x80)
  memory.fill(message + length + 1, 0, padded - length - 9)
  store<u64>(message + padded - 8, bswap<u64>(u64((BLOCK + length) * 8)))
  return padded
}

/** The same in each lane of INPUT, for a message that begins at `start`. */
@inline
function padLanes<T>(start: usize, length: usize): usize {
  let padded: usize = 0
  for (let lane: usize = 0; lane < sizeof<T>() / 4; lane++) padded = pad(INPUT + lane * LANE_INPUT + start, length)
  return padded
}

/** A key of at most 64 bytes, which stands first in each lane of INPUT, to KEY. */
@inline
function loadKey<T>(length: usize): void {
  memory.fill(MESSAGE, 0, 4 * BLOCK)
  for (let lane: usize = 0; lane < sizeof<T>() / 4; lane++)
    memory.copy(MESSAGE + lane * BLOCK, INPUT + lane * LANE_INPUT, length)
  loadBlock<T>(KEY, MESSAGE, BLOCK)
}

function hmacOf<T>(keyLength: usize, messageLength: usize): void {
  loadKey<T>(keyLength)
  keyStates<T>()
  const padded = padLanes<T>(keyLength, messageLength)
  copy<T, T>(STATE, INNER, 8)
  for (let block: usize = 0; block < padded; block += BLOCK) {
    loadBlock<T>(WORDS, INPUT + keyLength + block, LANE_INPUT)
    compress<T>(STATE)
  }
  finishOuter<T>()
  storeDigest<T>(OUTPUT)
}

function deriveOf<T>(slot: usize, length: usize, outputs: usize): void {
  const at = SLOTS + slot * SLOT
  // Extract. The PRK is HMAC's key from then on.
  padLanes<T>(0, length)
  loadBlock<T>(WORDS, INPUT, LANE_INPUT)
  copy<T, u32>(STATE, at + SALT_INNER, 8)
  compress<T>(STATE)
  copy<T, u32>(OUTER, at + SALT_OUTER, 8)
  finishOuter<T>()
  copy<T, T>(KEY, STATE, 8)
  for (let i: usize = 8; i < 16; i++) store<T>(KEY + i * sizeof<T>(), splat<T>(0))
  keyStates<T>()
  // Expand.
  for (let output: usize = 0; output < outputs; output++) {
    const expanded = at + SCHEDULES + output * MAX_BLOCKS * SCHEDULE
    const blocks: usize = output === 0 ? load<u32>(at + COUNTS) : load<u32>(at + COUNTS, 4)
    if (output === 0) {
      rounds<T, u32>(INNER, expanded)
    } else {
      copy<T, T>(WORDS, STATE, 8)
      copy<T, u32>(WORDS + 8 * sizeof<T>(), expanded + DIGEST, 8)
      compress<T>(INNER)
    }
    for (let block: usize = 1; block < blocks; block++) rounds<T, u32>(STATE, expanded + block * SCHEDULE)
    finishOuter<T>()
    storeDigest<T>(OUTPUT + output * DIGEST)
  }
}

/**
 * HMAC-SHA256 in one lane or in all: key (at most 64 bytes) ‖ message (with 72 bytes to spare) in each lane of INPUT, 32
 * bytes to each lane of OUTPUT.
 */
export function hmac(lanes: i32, keyLength: usize, messageLength: usize): void {
  if (ASC_FEATURE_SIMD) {
    if (lanes > 1) return hmacOf<v128>(keyLength, messageLength)
  }
  hmacOf<u32>(keyLength, messageLength)
}

/**
 * HKDF-SHA256 as prepared, in one lane or in all: key material (at most 55 bytes) in each lane of INPUT, 32 bytes per
 * output block to each lane of OUTPUT; there may be fewer output blocks than prepared.
 */
export function derive(lanes: i32, slot: usize, length: usize, outputs: usize): void {
  if (ASC_FEATURE_SIMD) {
    if (lanes > 1) return deriveOf<v128>(slot, length, outputs)
  }
  deriveOf<u32>(slot, length, outputs)
}

/**
 * Prepare a derivation of `outputs` blocks of 32 bytes (at most 9): salt (at most 64 bytes) ‖ info (at most 110 bytes)
 * at INPUT. Every block of a T that holds no earlier T is expanded; of the first of each later T, whose first 32 bytes
 * are the T before, the words are kept.
 */
export function prepare(slot: usize, saltLength: usize, infoLength: usize, outputs: usize): void {
  const at = SLOTS + slot * SLOT
  const info = INPUT + saltLength
  loadKey<u32>(saltLength)
  keyStates<u32>()
  copy<u32, u32>(at + SALT_INNER, INNER, 8)
  copy<u32, u32>(at + SALT_OUTER, OUTER, 8)
  for (let output: usize = 0; output < outputs; output++) {
    const before: usize = output === 0 ? 0 : DIGEST
    memory.fill(MESSAGE, 0, before)
    memory.copy(MESSAGE + before, info, infoLength)
    store<u8>(MESSAGE + before + infoLength, u8(output + 1))
    const padded = pad(MESSAGE, before + infoLength + 1)
    if (output === 0) store<u32>(at + COUNTS, u32(padded / BLOCK))
    else store<u32>(at + COUNTS, u32(padded / BLOCK), 4)
    for (let block: usize = 0; block < padded / BLOCK; block++) {
      loadBlock<u32>(WORDS, MESSAGE + block * BLOCK, 0)
      const to = at + SCHEDULES + (output * MAX_BLOCKS + block) * SCHEDULE
      if (block === 0 && output > 0) copy<u32, u32>(to, WORDS, 16)
      else schedule<u32>(to)
    }
  }
}
