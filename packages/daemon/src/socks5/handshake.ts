/**
 * What an app says at the door before its data, as a pure state machine: SOCKS5 (RFC 1928) with or without name and password
 * (RFC 1929), SOCKS4 and SOCKS4a (06-service-providers §2.7). Bytes may come in any cut; what is kept is at most one message,
 * and the longest has 520 bytes. CONNECT only. Names are passed on: the exit resolves them.
 *
 * Any name and password are good: they keep streams apart. The user id of SOCKS4 is skipped.
 */
import type { ExitTarget } from '@mixwright/client'
import { concatBytes } from '@mixwright/runtime'
import { isolationKey } from '../isolation-key.js'
import { SOCKS5_REPLIES, type SocksVersion, socks4Reply, socks5Reply } from './replies.js'

export interface SocksRequest {
  readonly kind: 'connect'
  readonly version: SocksVersion
  readonly target: ExitTarget
  /** Made of name and password; undefined when the app gave none. */
  readonly isolation: string | undefined
  /** What came behind the request: data. */
  readonly rest: Uint8Array
}

export interface SocksRefusal {
  readonly kind: 'refused'
  readonly reason: 'not-socks' | 'no-method' | 'command' | 'address-type' | 'malformed'
}

export interface SocksStep {
  /** To be sent to the app; after a refusal the connection ends. */
  readonly answer: Uint8Array
  /** Undefined until all has been said. */
  readonly outcome: SocksRequest | SocksRefusal | undefined
}

const CONNECT = 1
const NO_AUTHENTICATION = 0x00
const USER_PASSWORD = 0x02
const NO_METHOD = 0xff
/** Bytes of a user id or of a name in SOCKS4, as in SOCKS5. */
const LONGEST_TEXT = 255
const NOTHING = new Uint8Array()

/** One message was read: `length` bytes of it. */
interface Message extends SocksStep {
  readonly length: number
}

export class SocksHandshake {
  #held: Uint8Array = NOTHING
  #next: (held: Uint8Array) => Message | undefined = (held) => this.#first(held)
  #isolation: string | undefined

  /** Bytes came. After the outcome nothing more may be pushed. */
  push(bytes: Uint8Array): SocksStep {
    this.#held = concatBytes(this.#held, bytes)
    const answers: Uint8Array[] = []
    for (;;) {
      const message = this.#held.length === 0 ? undefined : this.#next(this.#held)
      if (message === undefined) return { answer: concatBytes(...answers), outcome: undefined }
      this.#held = this.#held.subarray(message.length)
      answers.push(message.answer)
      const { outcome } = message
      if (outcome === undefined) continue
      const rest = this.#held
      this.#held = NOTHING
      return { answer: concatBytes(...answers), outcome: outcome.kind === 'connect' ? { ...outcome, rest } : outcome }
    }
  }

  #first(held: Uint8Array): Message | undefined {
    if (held[0] === 5) return this.#greeting(held)
    return held[0] === 4 ? readSocks4(held) : refusal('not-socks', NOTHING)
  }

  /** `05 n methods` */
  #greeting(held: Uint8Array): Message | undefined {
    const length = 2 + (held[1] ?? 0)
    if (held.length < 2 || held.length < length) return undefined
    const methods = held.subarray(2, length)
    if (methods.includes(USER_PASSWORD)) {
      this.#next = (bytes) => this.#credentials(bytes)
      return { length, answer: Uint8Array.of(5, USER_PASSWORD), outcome: undefined }
    }
    if (!methods.includes(NO_AUTHENTICATION)) return refusal('no-method', Uint8Array.of(5, NO_METHOD))
    this.#next = (bytes) => this.#request(bytes)
    return { length, answer: Uint8Array.of(5, NO_AUTHENTICATION), outcome: undefined }
  }

  /** `01 n user n password` */
  #credentials(held: Uint8Array): Message | undefined {
    if (held[0] !== 1) return refusal('malformed', Uint8Array.of(1, 1))
    const userEnd = 2 + (held[1] ?? 0)
    const length = userEnd + 1 + (held[userEnd] ?? 0)
    if (held.length <= userEnd || held.length < length) return undefined
    this.#isolation = isolationKey(held.subarray(2, userEnd), held.subarray(userEnd + 1, length))
    this.#next = (bytes) => this.#request(bytes)
    return { length, answer: Uint8Array.of(1, 0), outcome: undefined }
  }

  /** `05 command 00 type address port` */
  #request(held: Uint8Array): Message | undefined {
    if (held[0] !== 5) return refusal('malformed', socks5Reply(SOCKS5_REPLIES.generalFailure))
    if (held.length < 5) return undefined
    const type = held[3]
    const [start, size] = type === 1 ? [4, 4] : type === 4 ? [4, 16] : type === 3 ? [5, held[4]!] : [0, 0]
    if (start === 0) return refusal('address-type', socks5Reply(SOCKS5_REPLIES.addressTypeNotSupported))
    const length = start + size + 2
    if (held.length < length) return undefined
    if (held[1] !== CONNECT) return refusal('command', socks5Reply(SOCKS5_REPLIES.commandNotSupported))
    const address = held.subarray(start, start + size)
    const host = type === 1 ? ipv4(address) : type === 4 ? ipv6(address) : name(address)
    if (host === undefined) return refusal('malformed', socks5Reply(SOCKS5_REPLIES.generalFailure))
    return connect(5, length, { host, port: portAt(held, length - 2) }, this.#isolation)
  }
}

/** `04 command port address user-id 00`, and for an address `0.0.0.x` behind it `name 00`. */
function readSocks4(held: Uint8Array): Message | undefined {
  const refused = (reason: SocksRefusal['reason']) => refusal(reason, socks4Reply(false))
  if (held.length < 8) return undefined
  const userEnd = textEnd(held, 8)
  if (userEnd === 'too-long') return refused('malformed')
  if (userEnd === undefined) return undefined
  const address = held.subarray(4, 8)
  const named = address[0] === 0 && address[1] === 0 && address[2] === 0 && address[3] !== 0
  const end = named ? textEnd(held, userEnd + 1) : userEnd
  if (end === 'too-long') return refused('malformed')
  if (end === undefined) return undefined
  if (held[1] !== CONNECT) return refused('command')
  const host = named ? name(held.subarray(userEnd + 1, end)) : ipv4(address)
  if (host === undefined) return refused('malformed')
  return connect(4, end + 1, { host, port: portAt(held, 2) }, undefined)
}

/** Where the text that begins at `start` has its zero; undefined when it has not come yet. */
function textEnd(held: Uint8Array, start: number): number | 'too-long' | undefined {
  const end = held.indexOf(0, start)
  if ((end < 0 ? held.length : end) - start > LONGEST_TEXT) return 'too-long'
  return end < 0 ? undefined : end
}

function connect(
  version: SocksVersion,
  length: number,
  target: ExitTarget,
  isolation: string | undefined,
): Message | undefined {
  return { length, answer: NOTHING, outcome: { kind: 'connect', version, target, isolation, rest: NOTHING } }
}

function refusal(reason: SocksRefusal['reason'], answer: Uint8Array): Message {
  return { length: 0, answer, outcome: { kind: 'refused', reason } }
}

function portAt(bytes: Uint8Array, index: number): number {
  return bytes[index]! * 256 + bytes[index + 1]!
}

function ipv4(address: Uint8Array): string {
  return address.join('.')
}

/** Eight groups. */
function ipv6(address: Uint8Array): string {
  return Array.from({ length: 8 }, (_, group) => portAt(address, 2 * group).toString(16)).join(':')
}

/** Undefined when it is empty, no UTF-8, or has blanks or control characters, which no name has. */
function name(bytes: Uint8Array): string | undefined {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    return text === '' || /[\s\p{Cc}]/u.test(text) ? undefined : text
  } catch {
    return undefined
  }
}
