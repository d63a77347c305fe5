/**
 * AES-256-GCM as Noise uses it (05-mixnode §5.1): one key per direction, nonces that count up from 0, never sent. What the
 * messages mean is the handshake's and the stream's business.
 */
import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from 'node:crypto'
import { NOISE_TAG_BYTES } from '@mixwright/wire'

const ALGORITHM = 'aes-256-gcm'

/** One direction of a connection: the key and the number of the next message. Each call takes one number. */
export class NoiseCipher {
  /** Made once: Node.js 24 takes four times as long for each message when it is handed the bytes. */
  #key: KeyObject | undefined
  /** Four zero bytes, then the counter, 64 bits, big-endian. */
  readonly #nonce = new Uint8Array(12)

  /** Copies `key`, 32 bytes, and overwrites it. */
  constructor(key: Uint8Array) {
    this.#key = createSecretKey(key)
    key.fill(0)
  }

  /** Encrypt `length` bytes of `buffer` at `offset` where they lie; the tag, 16 bytes, is written behind them. */
  sealInPlace(buffer: Uint8Array, offset: number, length: number, associated?: Uint8Array): void {
    const cipher = createCipheriv(ALGORITHM, this.#key!, this.#nonce)
    if (associated) cipher.setAAD(associated)
    if (length > 0) buffer.set(cipher.update(buffer.subarray(offset, offset + length)), offset)
    cipher.final()
    buffer.set(cipher.getAuthTag(), offset + length)
    this.#count()
  }

  /** The plaintext, in a new array 16 bytes shorter; undefined when the message is not what the other side sealed next. */
  open(message: Uint8Array, associated?: Uint8Array): Uint8Array | undefined {
    const length = message.length - NOISE_TAG_BYTES
    if (length < 0) return undefined
    const decipher = createDecipheriv(ALGORITHM, this.#key!, this.#nonce)
    if (associated) decipher.setAAD(associated)
    decipher.setAuthTag(message.subarray(length))
    const plaintext = decipher.update(message.subarray(0, length))
    try {
      decipher.final()
    } catch {
      return undefined
    }
    this.#count()
    return plaintext
  }

  /** Let go of the key, which Node.js overwrites when it frees it. The cipher must not be used again. */
  wipe(): void {
    this.#key = undefined
  }

  #count(): void {
    const nonce = this.#nonce
    for (let i = nonce.length - 1; i >= 4; i--) {
      nonce[i] = nonce[i]! + 1
      if (nonce[i] !== 0) return
    }
  }
}
