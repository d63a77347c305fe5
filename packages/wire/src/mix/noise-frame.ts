/**
 * The frame around Noise messages between nodes (05-mixnode §5.3). What a data message decrypts to is a piece of a byte
 * stream, cut anywhere; the frames of `frame.ts` run on top of that stream. The cryptography is the node's.
 *
 * | offset | bytes | field |
 * |---|---|---|
 * | 0 | 1 | version, 1 |
 * | 1 | 1 | pattern, 1 = `Noise_XKpsk3_25519_AESGCM_SHA256` |
 * | 2 | 1 | type, 0 = handshake, 1 = data |
 * | 3 | 2 | bytes after this header, big-endian |
 * | 5 | 3 | zero when sent, ignored when read |
 * | 8 | n | Noise message, its 16-byte tag included |
 */

export type NoiseFrameType = 'handshake' | 'data'

/** Why a byte stream cannot be a stream of Noise frames. Each is fatal for its connection: there is no resynchronisation. */
export type NoiseFrameError = 'noise-version' | 'noise-pattern' | 'noise-type' | 'noise-length'

/** First byte of every Noise frame; no frame version of `frame.ts` equals it. */
export const NOISE_VERSION = 1
const PATTERN_XKPSK3 = 1
/** Values of the type field. */
const TYPES: readonly NoiseFrameType[] = ['handshake', 'data']

export const NOISE_HEADER_BYTES = 8
export const NOISE_TAG_BYTES = 16
/** Longest plaintext of a data message, bytes: what 16 bits of length leave beside the tag. */
export const MAX_NOISE_PLAINTEXT_BYTES = 0xffff - NOISE_TAG_BYTES
/** Longest handshake message that is read, bytes. */
export const MAX_NOISE_HANDSHAKE_BYTES = 1024

/** Write the header of a message of `length` bytes, at most 65535, into `out` at `offset`: all 8 bytes. */
export function writeNoiseHeader(out: Uint8Array, offset: number, type: NoiseFrameType, length: number): void {
  out[offset] = NOISE_VERSION
  out[offset + 1] = PATTERN_XKPSK3
  out[offset + 2] = TYPES.indexOf(type)
  out[offset + 3] = length >> 8
  out[offset + 4] = length & 0xff
  out.fill(0, offset + 5, offset + NOISE_HEADER_BYTES)
}

/** One frame in a new array. Throws a `RangeError` when the message has more than 65535 bytes. */
export function encodeNoiseFrame(type: NoiseFrameType, message: Uint8Array): Uint8Array {
  if (message.length > 0xffff) throw new RangeError(`a Noise message of ${message.length} bytes`)
  const out = new Uint8Array(NOISE_HEADER_BYTES + message.length)
  writeNoiseHeader(out, 0, type, message.length)
  out.set(message, NOISE_HEADER_BYTES)
  return out
}

/**
 * Cuts Noise messages out of a byte stream, in any chunking. A header is judged as soon as it is whole. Holds at most one
 * unfinished message: 65 535 bytes, 1024 during the handshake. After an error it ignores everything: the connection is
 * over. `E` is what the owner may find wrong with a message.
 */
export class NoiseFrameDecoder<E extends string = never> {
  /** The type that the next frame must have; the owner moves it on, also while it is handed a message. */
  expected: NoiseFrameType = 'handshake'
  readonly #header = new Uint8Array(NOISE_HEADER_BYTES)
  #headerFilled = 0
  #pending: Uint8Array | undefined
  #filled = 0
  #error: NoiseFrameError | E | undefined

  /**
   * Take the next bytes; call `onMessage` for each message that is now complete, in order. An error that it returns ends
   * the stream as one of the frames does. Messages that lie whole inside `chunk` are views into it.
   */
  push(chunk: Uint8Array, onMessage: (message: Uint8Array) => E | undefined): NoiseFrameError | E | undefined {
    let offset = 0
    while (this.#error === undefined) {
      if (this.#headerFilled < NOISE_HEADER_BYTES) {
        const part = chunk.subarray(offset, offset + NOISE_HEADER_BYTES - this.#headerFilled)
        this.#header.set(part, this.#headerFilled)
        this.#headerFilled += part.length
        offset += part.length
        if (this.#headerFilled < NOISE_HEADER_BYTES) break
        this.#error = this.#judgeHeader()
        continue
      }
      const needed = (this.#header[3]! << 8) | this.#header[4]!
      const available = chunk.length - offset
      let message: Uint8Array
      if (this.#pending === undefined && available >= needed) {
        message = chunk.subarray(offset, offset + needed)
        offset += needed
      } else {
        if (available === 0) break
        this.#pending ??= new Uint8Array(needed)
        const take = Math.min(needed - this.#filled, available)
        this.#pending.set(chunk.subarray(offset, offset + take), this.#filled)
        this.#filled += take
        offset += take
        if (this.#filled < needed) break
        message = this.#pending
      }
      this.#pending = undefined
      this.#filled = 0
      this.#headerFilled = 0
      this.#error = onMessage(message)
    }
    return this.#error
  }

  #judgeHeader(): NoiseFrameError | undefined {
    const [version, pattern, type, high, low] = this.#header
    const length = (high! << 8) | low!
    if (version !== NOISE_VERSION) return 'noise-version'
    if (pattern !== PATTERN_XKPSK3) return 'noise-pattern'
    if (TYPES[type!] !== this.expected) return 'noise-type'
    if (length < NOISE_TAG_BYTES) return 'noise-length'
    if (this.expected === 'handshake' && length > MAX_NOISE_HANDSHAKE_BYTES) return 'noise-length'
    return undefined
  }
}
