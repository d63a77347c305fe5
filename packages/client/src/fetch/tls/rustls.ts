/**
 * rustls as WebAssembly: the module's functions over its one buffer, as `wasm/tls/tls.rs` describes them. TLS 1.2 and 1.3, Mozilla's
 * roots, no session tickets. It does no I/O; what moves its bytes is `tls-stream.ts`.
 */
import type { Clock, Random } from '@mixwright/runtime'
import { fetchError } from '../fetch-error.js'
import { WASM } from './rustls.wasm.js'

/** The most that the buffer holds, bytes. */
const BUFFER_BYTES = 32_768

interface Exports {
  readonly memory: WebAssembly.Memory
  buffer_at(): number
  add_root(length: number): void
  open(length: number): number
  receive(handle: number, length: number): number
  read(handle: number): number
  write(handle: number, length: number): number
  send(handle: number): number
  status(handle: number): number
  finish(handle: number): void
  drop_connection(handle: number): void
}

export class Rustls {
  readonly #exports: Exports
  readonly #at: number

  private constructor(exports: Exports) {
    this.#exports = exports
    this.#at = exports.buffer_at()
  }

  /** `roots`: DER, trusted besides Mozilla's; at most 32 768 bytes each. */
  static async load(roots: readonly Uint8Array[], clock: Clock, random: Random): Promise<Rustls> {
    let memory: WebAssembly.Memory
    const host = {
      now: () => clock.now() / 1000,
      random: (at: number, length: number) => new Uint8Array(memory.buffer, at, length).set(random.bytes(length)),
    }
    const packed = Uint8Array.from(atob(WASM), (character) => character.charCodeAt(0))
    const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip'))
    const bytes = await new Response(unpacked).arrayBuffer()
    const { instance } = await WebAssembly.instantiate(bytes, { host })
    const exports = instance.exports as unknown as Exports
    memory = exports.memory
    const rustls = new Rustls(exports)
    for (const root of roots) exports.add_root(rustls.#put(root))
    return rustls
  }

  /** Begin; throws `MIX_FETCH_TLS` for what is neither a name nor an IP address. */
  connect(host: string): RustlsConnection {
    const exports = this.#exports
    const handle = this.#checked(exports.open(this.#put(new TextEncoder().encode(host))))
    return {
      receive: (bytes) => this.#checked(exports.receive(handle, this.#put(bytes))),
      read: () => this.#get(exports.read(handle)),
      write: (bytes) => this.#checked(exports.write(handle, this.#put(bytes))),
      send: () => this.#get(exports.send(handle)),
      status: () => {
        const status = this.#checked(exports.status(handle))
        return { isHandshaking: (status & 1) !== 0, peerHasEnded: (status & 2) !== 0 }
      },
      finish: () => exports.finish(handle),
      drop: () => exports.drop_connection(handle),
    }
  }

  #put(bytes: Uint8Array): number {
    const part = bytes.subarray(0, BUFFER_BYTES)
    new Uint8Array(this.#exports.memory.buffer, this.#at, BUFFER_BYTES).set(part)
    return part.length
  }

  #get(length: number): Uint8Array {
    return new Uint8Array(this.#exports.memory.buffer, this.#at, this.#checked(length)).slice()
  }

  #checked(result: number): number {
    if (result >= 0) return result
    const text = new TextDecoder().decode(new Uint8Array(this.#exports.memory.buffer, this.#at, -result))
    throw fetchError('MIX_FETCH_TLS', `TLS failed: ${text}.`)
  }
}

/** One connection. Everything throws `MIX_FETCH_TLS`; nothing may be called after `drop`. */
export interface RustlsConnection {
  /** Bytes from the network; gives how many were taken. The others come again after `read`. */
  receive(bytes: Uint8Array): number
  /** Plaintext; empty: none yet. */
  read(): Uint8Array
  /** Plaintext; gives how much was taken. */
  write(bytes: Uint8Array): number
  /** For the network; empty: nothing. */
  send(): Uint8Array
  status(): { readonly isHandshaking: boolean; readonly peerHasEnded: boolean }
  finish(): void
  drop(): void
}
