/** Bytes of a connection, taken by line or as they come. */
import { concatBytes } from '@mixwright/runtime'

const EMPTY = new Uint8Array(0)
const LF = 10

export class ByteReader {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>
  #rest: Uint8Array = EMPTY
  #filling: Promise<boolean> | undefined

  constructor(readable: ReadableStream<Uint8Array>) {
    this.#reader = readable.getReader()
  }

  /** Resolves when there are bytes (true) or the end (false) has come; rejects with the connection's error. Takes nothing. */
  fill(): Promise<boolean> {
    if (this.#rest.length > 0) return Promise.resolve(true)
    this.#filling ??= this.#read().finally(() => {
      this.#filling = undefined
    })
    return this.#filling
  }

  async #read(): Promise<boolean> {
    for (;;) {
      const { done, value } = await this.#reader.read()
      if (done) return false
      if (value.length === 0) continue
      this.#rest = value
      return true
    }
  }

  /** What there is, at least one byte and at most `most`; undefined at the end. */
  async take(most: number): Promise<Uint8Array | undefined> {
    if (!(await this.fill())) return undefined
    const bytes = this.#rest.subarray(0, most)
    this.#rest = this.#rest.subarray(bytes.length)
    return bytes
  }

  /** Up to and with the next line feed. Shorter than `most` and without one: the end came; `most` long and without one: too long. */
  async line(most: number): Promise<Uint8Array> {
    let line: Uint8Array = EMPTY
    while (line.length < most && (await this.fill())) {
      const at = this.#rest.indexOf(LF)
      const part = await this.take(Math.min(at === -1 ? most : at + 1, most - line.length))
      line = line.length === 0 ? part! : concatBytes(line, part!)
      if (line[line.length - 1] === LF) break
    }
    return line
  }
}

/** Each byte as one character. */
export function latin1(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += String.fromCharCode(byte)
  return text
}
