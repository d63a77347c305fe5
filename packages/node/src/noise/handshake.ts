/**
 * The handshake `Noise_XKpsk3_25519_AESGCM_SHA256` of both roles, from bytes to bytes (05-mixnode §5.1, §5.2):
 *
 *     <- s                         known to the initiator from the directory
 *     -> e, es
 *     <- e, ee
 *     -> s, se, psk
 *
 * Prologue and payloads are empty; payloads that come are ignored. Whoever holds the responder's public key can be an
 * initiator: its static key is learned and not judged. Frames around the messages are `noise-stream.ts`'s.
 */
import { createHash } from 'node:crypto'
import { concatBytes, type Random, utf8 } from '@mixwright/runtime'
import type { CryptoProvider } from '@mixwright/sphinx'
import { NOISE_TAG_BYTES } from '@mixwright/wire'
import { NoiseCipher } from './transport.js'

/** An X25519 key pair, 32 bytes each. */
export interface NoiseKeyPair {
  readonly secret: Uint8Array
  readonly publicKey: Uint8Array
}

export interface NoiseCiphers {
  readonly send: NoiseCipher
  readonly receive: NoiseCipher
}

/** A message that is none, was tampered with, or is meant for another key; or a key of low order, which hides nothing. */
export type NoiseHandshakeError = 'noise-handshake' | 'noise-low-order'

/** What a step of a handshake gives: the message to send, if any, and after the last step the ciphers. */
export type NoiseHandshakeStep =
  | { readonly message?: Uint8Array; readonly ciphers?: NoiseCiphers }
  | { readonly error: NoiseHandshakeError }

/** One side of one handshake. After an error, and once there are ciphers, it must not be used again. */
export interface NoiseHandshake {
  /** The message that this side sends before it has read any; none for the responder. */
  start(): NoiseHandshakeStep
  /** Take the other side's next message. */
  read(message: Uint8Array): NoiseHandshakeStep
  /** Running hash of all that was said, 32 bytes. */
  readonly hash: Uint8Array
  /** Overwrite all secrets but the static one. */
  wipe(): void
}

const KEY_BYTES = 32
/** 32 characters, so that the first hash is the name itself. */
const PROTOCOL_NAME = utf8('Noise_XKpsk3_25519_AESGCM_SHA256')
const PSK_PREFIX = utf8('NYMTECH_NOISE_dQw4w9WgXcQ')

export class NoiseInitiator implements NoiseHandshake {
  readonly #crypto: CryptoProvider
  readonly #own: NoiseKeyPair
  readonly #responderKey: Uint8Array
  readonly #ephemeral: NoiseKeyPair
  readonly #state: SymmetricState

  /** `responderKey`: 32 bytes. */
  constructor(crypto: CryptoProvider, random: Random, own: NoiseKeyPair, responderKey: Uint8Array) {
    this.#crypto = crypto
    this.#own = own
    this.#responderKey = responderKey
    this.#ephemeral = drawEphemeral(crypto, random)
    this.#state = new SymmetricState(crypto, responderKey)
  }

  get hash(): Uint8Array {
    return this.#state.hash
  }

  /** Message 1, 48 bytes. */
  start(): NoiseHandshakeStep {
    const { publicKey, secret } = this.#ephemeral
    this.#state.mixEphemeral(publicKey)
    if (!this.#state.mixShared(this.#crypto.x25519(secret, this.#responderKey))) return { error: 'noise-low-order' }
    return { message: concatBytes(publicKey, this.#state.seal()) }
  }

  /** Message 2 in; message 3, 64 bytes, and the ciphers out. */
  read(message: Uint8Array): NoiseHandshakeStep {
    const state = this.#state
    if (message.length < KEY_BYTES + NOISE_TAG_BYTES) return { error: 'noise-handshake' }
    const theirs = message.subarray(0, KEY_BYTES)
    state.mixEphemeral(theirs)
    if (!state.mixShared(this.#crypto.x25519(this.#ephemeral.secret, theirs))) return { error: 'noise-low-order' }
    if (state.open(message.subarray(KEY_BYTES)) === undefined) return { error: 'noise-handshake' }
    const sealedKey = state.seal(this.#own.publicKey)
    if (!state.mixShared(this.#crypto.x25519(this.#own.secret, theirs))) return { error: 'noise-low-order' }
    state.mixPsk(this.#responderKey)
    const third = concatBytes(sealedKey, state.seal())
    const [send, receive] = state.split()
    this.wipe()
    return { message: third, ciphers: { send, receive } }
  }

  wipe(): void {
    this.#ephemeral.secret.fill(0)
    this.#state.wipe()
  }
}

export class NoiseResponder implements NoiseHandshake {
  readonly #crypto: CryptoProvider
  readonly #own: NoiseKeyPair
  readonly #ephemeral: NoiseKeyPair
  readonly #state: SymmetricState
  #readFirst = false
  #initiatorKey: Uint8Array | undefined

  constructor(crypto: CryptoProvider, random: Random, own: NoiseKeyPair) {
    this.#crypto = crypto
    this.#own = own
    this.#ephemeral = drawEphemeral(crypto, random)
    this.#state = new SymmetricState(crypto, own.publicKey)
  }

  get hash(): Uint8Array {
    return this.#state.hash
  }

  /** The initiator's static key, once it has proved to hold its secret. */
  get initiatorKey(): Uint8Array | undefined {
    return this.#initiatorKey
  }

  start(): NoiseHandshakeStep {
    return {}
  }

  /** Message 1 in, message 2, 48 bytes, out; then message 3 in, the ciphers out. */
  read(message: Uint8Array): NoiseHandshakeStep {
    if (this.#readFirst) return this.#third(message)
    this.#readFirst = true
    return this.#first(message)
  }

  #first(message: Uint8Array): NoiseHandshakeStep {
    const state = this.#state
    if (message.length < KEY_BYTES + NOISE_TAG_BYTES) return { error: 'noise-handshake' }
    const theirs = message.subarray(0, KEY_BYTES)
    state.mixEphemeral(theirs)
    if (!state.mixShared(this.#crypto.x25519(this.#own.secret, theirs))) return { error: 'noise-low-order' }
    if (state.open(message.subarray(KEY_BYTES)) === undefined) return { error: 'noise-handshake' }
    const { publicKey, secret } = this.#ephemeral
    state.mixEphemeral(publicKey)
    if (!state.mixShared(this.#crypto.x25519(secret, theirs))) return { error: 'noise-low-order' }
    return { message: concatBytes(publicKey, state.seal()) }
  }

  #third(message: Uint8Array): NoiseHandshakeStep {
    const state = this.#state
    const sealedKeyBytes = KEY_BYTES + NOISE_TAG_BYTES
    if (message.length < sealedKeyBytes + NOISE_TAG_BYTES) return { error: 'noise-handshake' }
    const theirs = state.open(message.subarray(0, sealedKeyBytes))
    if (theirs === undefined) return { error: 'noise-handshake' }
    if (!state.mixShared(this.#crypto.x25519(this.#ephemeral.secret, theirs))) return { error: 'noise-low-order' }
    state.mixPsk(this.#own.publicKey)
    if (state.open(message.subarray(sealedKeyBytes)) === undefined) return { error: 'noise-handshake' }
    const [receive, send] = state.split()
    this.wipe()
    this.#initiatorKey = theirs
    return { ciphers: { send, receive } }
  }

  wipe(): void {
    this.#ephemeral.secret.fill(0)
    this.#state.wipe()
  }
}

function drawEphemeral(crypto: CryptoProvider, random: Random): NoiseKeyPair {
  const secret = random.bytes(KEY_BYTES)
  return { secret, publicKey: crypto.x25519Base(secret) }
}

/** Chaining key, running hash and current key of a handshake; the names in the comments are those of the Noise paper. */
class SymmetricState {
  hash: Uint8Array
  readonly #crypto: CryptoProvider
  /** `ck` */
  readonly #chaining = Uint8Array.from(PROTOCOL_NAME)
  #cipher: NoiseCipher | undefined

  /** With the responder's static key, which both sides know before. */
  constructor(crypto: CryptoProvider, responderKey: Uint8Array) {
    this.#crypto = crypto
    // The empty prologue is hashed, too.
    this.hash = sha256(PROTOCOL_NAME)
    this.#mixHash(responderKey)
  }

  /** The token `e`: in patterns with a psk the public key is also mixed into the keys. */
  mixEphemeral(publicKey: Uint8Array): void {
    this.#mixHash(publicKey)
    this.#mixKey(publicKey)
  }

  /** A token of two keys (`ee`, `es`, `se`); false for the result of a low-order point. Overwrites the secret. */
  mixShared(shared: Uint8Array | undefined): boolean {
    if (shared === undefined) return false
    this.#mixKey(shared)
    shared.fill(0)
    return true
  }

  /** The token `psk`: the secret that everyone can compute from the responder's key. */
  mixPsk(responderKey: Uint8Array): void {
    const [chaining, mixed, key] = this.#hkdf(sha256(PSK_PREFIX, responderKey))
    this.#replace(chaining, key)
    this.#mixHash(mixed)
    mixed.fill(0)
  }

  /** `EncryptAndHash`: 16 bytes longer. Without a plaintext the tag of an empty payload. */
  seal(plaintext: Uint8Array = new Uint8Array(0)): Uint8Array {
    const out = new Uint8Array(plaintext.length + NOISE_TAG_BYTES)
    out.set(plaintext)
    this.#cipher!.sealInPlace(out, 0, plaintext.length, this.hash)
    this.#mixHash(out)
    return out
  }

  /** `DecryptAndHash`: 16 bytes shorter, or undefined. */
  open(message: Uint8Array): Uint8Array | undefined {
    const plaintext = this.#cipher!.open(message, this.hash)
    if (plaintext !== undefined) this.#mixHash(message)
    return plaintext
  }

  /** The ciphers from initiator to responder, and back. */
  split(): [NoiseCipher, NoiseCipher] {
    const [forth, back, unused] = this.#hkdf(new Uint8Array(0))
    unused.fill(0)
    return [new NoiseCipher(forth), new NoiseCipher(back)]
  }

  wipe(): void {
    this.#chaining.fill(0)
    this.#cipher?.wipe()
  }

  #mixHash(data: Uint8Array): void {
    this.hash = sha256(this.hash, data)
  }

  #mixKey(input: Uint8Array): void {
    const [chaining, key, unused] = this.#hkdf(input)
    unused.fill(0)
    this.#replace(chaining, key)
  }

  #replace(chaining: Uint8Array, key: Uint8Array): void {
    this.#chaining.set(chaining)
    chaining.fill(0)
    this.#cipher = new NoiseCipher(key)
  }

  /** Noise's HKDF from the chaining key: three outputs of 32 bytes; the first two are the same when only two are wanted. */
  #hkdf(input: Uint8Array): [Uint8Array, Uint8Array, Uint8Array] {
    const extracted = this.#crypto.hmacSha256(this.#chaining, input)
    const first = this.#crypto.hmacSha256(extracted, Uint8Array.of(1))
    const before = new Uint8Array(KEY_BYTES + 1)
    const next = (output: Uint8Array, number: number) => {
      before.set(output)
      before[KEY_BYTES] = number
      return this.#crypto.hmacSha256(extracted, before)
    }
    const second = next(first, 2)
    const third = next(second, 3)
    extracted.fill(0)
    before.fill(0)
    return [first, second, third]
  }
}

function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest()
}
