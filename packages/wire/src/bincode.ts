/**
 * Bincode: integers of 16 bits and more as varints, no self description, trailing bytes an error. The directory writes
 * little endian (03-directory §3.2), service providers big endian (06-service-providers §1.1, profile BV).
 * Bytes to values only; what the values mean is in `directory/schema.ts`.
 */
import { MixError } from '@mixwright/runtime'

/** Of the bytes behind a varint's marker. */
export type ByteOrder = 'little' | 'big'

/** Largest integer that JavaScript holds exactly; documents of this directory stay far below. */
const MAX_INTEGER = Number.MAX_SAFE_INTEGER

/** Appends to a growing buffer. */
export class BincodeWriter {
  readonly #little: boolean
  #buffer = new Uint8Array(1024)
  #length = 0

  constructor(order: ByteOrder) {
    this.#little = order === 'little'
  }

  byte(value: number): void {
    this.#grow(1)
    this.#buffer[this.#length++] = value
  }

  bytes(value: Uint8Array): void {
    this.#grow(value.length)
    this.#buffer.set(value, this.#length)
    this.#length += value.length
  }

  /** u16, u32, u64, a length or an enum index, in the shortest form. */
  varint(value: number): void {
    if (value <= 250) return this.byte(value)
    const width = value <= 0xffff ? 2 : value <= 0xffff_ffff ? 4 : 8
    this.byte(width === 2 ? 0xfb : width === 4 ? 0xfc : 0xfd)
    this.#grow(width)
    const view = new DataView(this.#buffer.buffer, this.#length, width)
    if (width === 2) view.setUint16(0, value, this.#little)
    else if (width === 4) view.setUint32(0, value, this.#little)
    else view.setBigUint64(0, BigInt(value), this.#little)
    this.#length += width
  }

  string(value: string): void {
    const text = new TextEncoder().encode(value)
    this.varint(text.length)
    this.bytes(text)
  }

  finish(): Uint8Array {
    return this.#buffer.slice(0, this.#length)
  }

  #grow(by: number): void {
    if (this.#length + by <= this.#buffer.length) return
    const larger = new Uint8Array(Math.max(2 * this.#buffer.length, this.#length + by))
    larger.set(this.#buffer)
    this.#buffer = larger
  }
}

/** Reads from front to back; every error is a `MixError` `MIX_BINCODE`, kind `peer`. */
export class BincodeReader {
  readonly #bytes: Uint8Array
  readonly #little: boolean
  #offset = 0

  constructor(bytes: Uint8Array, order: ByteOrder) {
    this.#bytes = bytes
    this.#little = order === 'little'
  }

  byte(): number {
    if (this.#offset >= this.#bytes.length) throw malformed('it ends too early')
    return this.#bytes[this.#offset++]!
  }

  /** A view, not a copy. */
  bytes(length: number): Uint8Array {
    if (length > this.#bytes.length - this.#offset) throw malformed('it ends too early')
    this.#offset += length
    return this.#bytes.subarray(this.#offset - length, this.#offset)
  }

  /** Longer forms than needed are accepted; a value above `maximum` is not. */
  varint(maximum: number): number {
    const first = this.byte()
    const value = first <= 250 ? first : this.#wide(first)
    if (value > maximum) throw malformed('a number is too large')
    return value
  }

  string(): string {
    const bytes = this.bytes(this.varint(MAX_INTEGER))
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    } catch {
      throw malformed('a text is not UTF-8')
    }
  }

  /** How many items follow. Each takes at least a byte, so that a huge count is refused before anything is made for it. */
  count(): number {
    return this.varint(this.#bytes.length - this.#offset)
  }

  /** Nothing may follow. */
  finish(): void {
    if (this.#offset !== this.#bytes.length) throw malformed('bytes are left over')
  }

  #wide(first: number): number {
    if (first > 0xfd) throw malformed('a number is wider than 64 bits')
    const width = first === 0xfb ? 2 : first === 0xfc ? 4 : 8
    const bytes = this.bytes(width)
    const view = new DataView(bytes.buffer, bytes.byteOffset, width)
    if (width === 2) return view.getUint16(0, this.#little)
    if (width === 4) return view.getUint32(0, this.#little)
    const value = view.getBigUint64(0, this.#little)
    if (value > BigInt(MAX_INTEGER)) throw malformed('a number is too large')
    return Number(value)
  }
}

export function malformed(why: string): MixError {
  return new MixError('MIX_BINCODE', `The bincode document is malformed: ${why}.`, { kind: 'peer' })
}
